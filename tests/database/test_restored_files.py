"""A backup that is put in the place of our SQLite file, in every way that people do it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from billing.database.connection import Database
from billing.database.dialects import sqlite as sqlite_dialect
from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.processes import ROOT, environment, wait_for

SUBSCRIPTION = "/v1/dashboard/billing/subscription"


def cp(copy: Path, file: Path) -> None:
    subprocess.run(["/bin/cp", str(copy), str(file)], check=True)


def cp_with_its_time(copy: Path, file: Path) -> None:
    subprocess.run(["/bin/cp", "-p", str(copy), str(file)], check=True)


def mv(copy: Path, file: Path) -> None:
    subprocess.run(["/bin/mv", "-f", str(copy), str(file)], check=True)


def cat(copy: Path, file: Path) -> None:
    with file.open("wb") as out:
        subprocess.run(["/bin/cat", str(copy)], stdout=out, check=True)


def rsync_in_place(copy: Path, file: Path) -> None:
    """As `rsync -a --inplace`: the file is never shorter meanwhile, and has the copy's time."""
    with file.open("r+b") as out:
        out.write(copy.read_bytes())
        out.truncate()
    shutil.copystat(copy, file)


def cp_with_the_time_before(copy: Path, file: Path) -> None:
    """Nothing but the time at which the inode was changed tells the two apart."""
    stat = file.stat()
    cp(copy, file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def remove_side_files(file: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


class Copied:
    """A token of $100 that is copied, then credited to 300, beside two workers that have it open.

    `idle` is a worker that is asked by the test alone.
    """

    def __init__(self, billing: Billing, folder: Path, kind: str) -> None:
        self.billing, self.file, self.copy = billing, folder / "billing.db", folder / "copy.db"
        billing.user()
        token = billing.token("alice", "--usd", "100")
        self.token_id, self._key = str(token["id"]), token["key"]
        billing.close()
        if kind == "backup":
            billing.run("backup", str(self.copy))
        else:
            shutil.copy(self.file, self.copy)
        self.workers = [billing.make_app().test_client() for _ in range(2)]
        self.idle = billing.make_app().test_client()
        assert self.limits() == [100, 100]
        assert self.limit(self.idle) == 100
        billing.run("token", "credit", self.token_id, "--usd", "200")
        assert self.limits() == [300, 300]

    def limit(self, worker: FlaskClient) -> float:
        """The token's limit, or the status."""
        answer = worker.get(SUBSCRIPTION, headers=bearer(self._key))
        if answer.status_code != 200:
            return answer.status_code
        return float(answer.get_json()["hard_limit_usd"])

    def limits(self) -> list[float]:
        return [self.limit(worker) for worker in self.workers]


@pytest.fixture(params=["backup", "file"])
def copied(request: pytest.FixtureRequest, sqlite_billing: Billing, tmp_path: Path) -> Copied:
    """`backup` is what `flask backup` writes, `file` a copy of the file itself, in WAL mode."""
    return Copied(sqlite_billing, tmp_path, request.param)


Way = Callable[[Path, Path], None]


@pytest.mark.parametrize("removed", ["nothing", "before", "after"])
@pytest.mark.parametrize(
    "way", [cp, cp_with_its_time, cp_with_the_time_before, mv, cat, rsync_in_place]
)
def test_every_worker_shows_what_was_restored(copied: Copied, way: Way, removed: str) -> None:
    if removed == "before":
        remove_side_files(copied.file)
    way(copied.copy, copied.file)
    if removed == "after":
        remove_side_files(copied.file)

    assert copied.limits() == [100, 100]
    assert copied.limit(copied.idle) == 100
    copied.billing.run("token", "credit", copied.token_id, "--usd", "7")
    assert copied.limits() == [107, 107]
    assert copied.limit(copied.idle) == 107
    assert _journal_mode(copied.file) == "wal"


def _journal_mode(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return mode


#: A command that is killed after its commit, so that its rows are in the WAL alone.
DIE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE tokens SET remain_quota = 5")
connection.commit()
os._exit(9)
"""


@pytest.mark.parametrize("way", [cp, mv])
@pytest.mark.parametrize("copied", ["backup"], indirect=True)
def test_what_a_killed_command_left_in_the_wal_is_not_applied_to_a_backup(
    copied: Copied, way: Way
) -> None:
    subprocess.run([sys.executable, "-c", DIE, str(copied.file)], check=False)
    assert Path(f"{copied.file}-wal").stat().st_size > 0

    way(copied.copy, copied.file)

    assert [*copied.limits(), copied.limit(copied.idle)] == [100, 100, 100]
    with closing(sqlite3.connect(copied.file)) as connection:
        # The pages of a backup have other numbers: those of the old WAL would land anywhere.
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("copied", ["backup"], indirect=True)
def test_a_command_says_who_keeps_an_overwritten_file(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_dialect, "_WAL_SECONDS", 0.5)
    cp(copied.copy, copied.file)
    assert copied.limits() == [100, 100]

    output = copied.billing.run("token", "credit", copied.token_id, "--usd", "7", status=1)

    assert (
        "connections opened before the file was overwritten still hold it: restart the service"
        in output
    )
    assert copied.limit(copied.idle) == 100
    copied.billing.run("token", "credit", copied.token_id, "--usd", "7")
    assert [*copied.limits(), copied.limit(copied.idle)] == [107, 107, 107]


@pytest.mark.parametrize("command", [["init"], ["check"]])
def test_a_restored_backup_is_in_wal_mode_again(
    sqlite_billing: Billing, tmp_path: Path, command: list[str]
) -> None:
    sqlite_billing.run("backup", str(tmp_path / "copy.db"))
    mv(tmp_path / "copy.db", tmp_path / "billing.db")
    assert _journal_mode(tmp_path / "billing.db") == "delete"

    sqlite_billing.run(*command)

    assert _journal_mode(tmp_path / "billing.db") == "wal"


def test_a_command_leaves_nothing_in_the_wal(sqlite_billing: Billing, tmp_path: Path) -> None:
    reader = sqlite_billing.client()
    assert reader.get("/readyz").status_code == 200

    sqlite_billing.user()

    assert Path(f"{tmp_path / 'billing.db'}-wal").stat().st_size == 0


def test_a_command_that_goes_on_when_the_file_is_replaced_writes_to_no_other(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    sqlite_billing.user()
    token_id = sqlite_billing.token()["id"]
    sqlite_billing.run("backup", str(tmp_path / "copy.db"))
    read, write = os.pipe()
    line = f'{{"token_id": {token_id}, "model": "m", "quota": 7}}\n'
    command = [str(Path(sys.executable).with_name("flask")), "usage", "import", "-"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(sqlite_billing.env),
        stdin=read,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as importer:
        os.close(read)
        with os.fdopen(write, "w") as lines:
            lines.write(line * 1000)
            lines.flush()
            wait_for(lambda: sqlite_billing.execute("SELECT 1 FROM logs"), "the first batch")
            mv(tmp_path / "copy.db", tmp_path / "billing.db")
            sqlite_billing.user("carol")
            lines.write(line * 10)
        _, errors = importer.communicate(timeout=60)

    assert importer.returncode == 1
    assert "replaced by another file while this command ran" in errors
    assert "lines from 1001 on are not recorded" in errors
    assert sqlite_billing.execute("SELECT count(*) FROM logs") == [(0,)]
    assert [user["username"] for user in sqlite_billing.json("user", "list")] == ["alice", "carol"]


def test_our_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    billing = Billing(f"sqlite:///{tmp_path / 'billing.db'}")
    umask = os.umask(0o022)
    try:
        billing.run("init")
        assert billing.client().get("/readyz").status_code == 200
        billing.run("backup", str(tmp_path / "copy.db"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)
        billing.close()

    assert modes == dict.fromkeys(
        ["billing.db", "billing.db-wal", "billing.db-shm", "copy.db"], 0o600
    )


def test_a_file_that_others_may_read_is_warned_of_until_init(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    file = tmp_path / "billing.db"
    file.chmod(0o644)

    warned = sqlite_billing.run("check", status=1)
    sqlite_billing.run("init")

    assert f"others may read {file}: chmod 600 it" in warned
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("copied", ["file"], indirect=True)
def test_who_closes_the_old_file_leaves_the_wal_of_the_new_one(copied: Copied) -> None:
    url = copied.billing.app.extensions["billing"].settings.database_url
    command = Database(url, 5, "write")
    command.peewee.connect()
    mv(copied.copy, copied.file)
    remove_side_files(copied.file)
    with closing(sqlite3.connect(copied.file, isolation_level=None)) as writer:
        writer.execute("UPDATE tokens SET name = 'new'")
        wal = Path(f"{copied.file}-wal").stat().st_ino

        command.close()
        assert [*copied.limits(), copied.limit(copied.idle)] == [100, 100, 100]

        assert Path(f"{copied.file}-wal").stat().st_ino == wal
        assert copied.billing.execute("SELECT name FROM tokens") == [("new",)]
