"""A gateway's SQLite file: nothing is made beside it, and one that is replaced is noticed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from billing.database.dialects.sqlite import SQLite
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.http_client import bearer
from tests.support.processes import ROOT, environment, missing, program

SUBSCRIPTION = "/v1/dashboard/billing/subscription"
ENV = {"DISPLAY_UNIT": "TOKENS"}


@pytest.fixture
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.token(gateway.user())
        yield gateway


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "one-api.db"


def limit(client: FlaskClient) -> float:
    """The token's limit, or the status."""
    answer = client.get(SUBSCRIPTION, headers=bearer(KEY))
    if answer.status_code != 200:
        return answer.status_code
    return float(answer.get_json()["hard_limit_usd"])


def beside(file: Path) -> list[str]:
    return sorted(path.name.removeprefix(file.name) for path in file.parent.glob(f"{file.name}-*"))


def test_a_gateway_in_wal_mode_that_does_not_run_is_503_and_gets_no_files(
    newapi: Gateway, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newapi.execute("PRAGMA journal_mode = wal")
    client = newapi.client(**ENV)
    newapi.connection.close()

    stopped = limit(client)
    check = newapi.app().test_cli_runner().invoke(args=["check"])

    assert stopped == 503
    assert beside(file) == []
    assert "so the gateway is not running" in caplog.messages[0]
    assert check.exit_code == 2
    assert "start the gateway" in check.stderr
    with closing(sqlite3.connect(file)) as gateway:
        gateway.execute("SELECT 1 FROM tokens").fetchone()
        assert limit(client) == 1000


def test_a_file_that_goes_into_wal_mode_while_we_have_it_open_gets_no_files(
    newapi: Gateway, file: Path
) -> None:
    client = newapi.client(**ENV)
    assert limit(client) == 1000
    newapi.execute("PRAGMA journal_mode = wal")
    newapi.connection.close()
    for name in beside(file):
        # We held the file open, so that SQLite left them: an operator tidies up.
        Path(f"{file}{name}").unlink()

    assert limit(client) == 503
    assert beside(file) == []


#: Reads as often as it is told, each time as a service that has just started. Prints each status,
#: and whose files were beside the gateway's then.
READ = """
import glob, os, sys
from billing import create_app
from config import Settings
for _ in range(int(sys.argv[1])):
    app = create_app(Settings.from_env())
    print(app.test_client().get("/readyz").status_code)
    for path in glob.glob(sys.argv[2] + "-*"):
        try:
            print("of", os.stat(path).st_uid)
        except FileNotFoundError:
            pass
    app.extensions["billing"].close()
"""

WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE users SET quota = 1")
connection.commit()
"""

START_AND_STOP = """
import sqlite3, sys, time
while True:
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("SELECT 1 FROM tokens").fetchone()
    time.sleep(0.001)
    connection.close()
"""

#: The accounts of the gateway and of the service; the group that both are in.
GATEWAY, SERVICE, GROUP = 4321, 4322, 4300


def account(uid: int) -> list[str]:
    """The command that runs a program by that account."""
    return [program("setpriv"), "--clear-groups", f"--regid={GROUP}", f"--reuid={uid}"]


@pytest.fixture
def shared(newapi: Gateway, file: Path) -> Iterator[Path]:
    """The gateway's file in WAL mode, in a folder where its whole group may make files."""
    if os.geteuid() != 0:
        missing("only root can run programs by other accounts")
    newapi.execute("PRAGMA journal_mode = wal")
    newapi.connection.close()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # pytest's own folders are root's alone
        folder = Path(name)
        shutil.copyfile(file, folder / "one-api.db")
        for path in (folder, folder / "one-api.db"):
            os.chown(path, GATEWAY, GROUP)
        folder.chmod(0o770)
        (folder / "one-api.db").chmod(0o640)
        yield folder / "one-api.db"


def reader(file: Path, times: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*account(SERVICE), sys.executable, "-c", READ, str(times), str(file)],
        cwd=ROOT,
        env=environment({"BILLING_MODE": "attached", "DATABASE_URL": f"sqlite:///{file}"}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.mark.server
def test_the_gateway_can_write_after_another_account_has_read(shared: Path) -> None:
    read = reader(shared, 1)

    written = subprocess.run(
        [*account(GATEWAY), sys.executable, "-c", WRITE, str(shared)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.stdout.split() == ["503"]
    assert (written.returncode, written.stderr) == (0, "")


@pytest.mark.server
def test_no_file_is_ours_while_a_gateway_starts_and_stops_all_the_time(shared: Path) -> None:
    shared.chmod(0o660)
    command = [*account(GATEWAY), sys.executable, "-c", START_AND_STOP, str(shared)]
    with subprocess.Popen(command) as gateway:
        read = reader(shared, 150)
        gateway.kill()

    seen = set(read.stdout.splitlines())
    assert {"200", "503"} & seen
    assert seen <= {"200", "503", f"of {GATEWAY}"}


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("way", ["in place", "renamed"])
def test_a_restored_file_is_read_by_all(
    newapi: Gateway, file: Path, tmp_path: Path, journal: str, way: str
) -> None:
    copies = []
    for number in (100, 300):
        copies.append(tmp_path / f"copy-{number}")
        newapi.execute("UPDATE tokens SET remain_quota = ?, used_quota = 0", number)
        newapi.execute(f"VACUUM INTO '{copies[-1]}'")
        with closing(sqlite3.connect(copies[-1])) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
    workers = [newapi.client(**ENV) for _ in range(2)]
    newapi.connection.close()

    seen = []
    for copy in (*copies, *copies):
        if way == "in place":
            shutil.copyfile(copy, file)
        else:
            shutil.copyfile(copy, tmp_path / "next")
            os.replace(tmp_path / "next", file)
        with closing(sqlite3.connect(file)) as gateway:
            gateway.execute("SELECT 1 FROM tokens").fetchone()
            seen.append([limit(worker) for worker in workers])

    assert seen == [[100, 100], [300, 300]] * 2


def test_a_wal_of_another_file_is_503_and_stays(
    newapi: Gateway, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newapi.connection.close()
    Path(f"{file}-wal").write_bytes(b"of the file before")
    client = newapi.client(**ENV)

    assert limit(client) == 503
    assert "remove -wal and -shm" in caplog.messages[0]
    assert beside(file) == ["-wal"]


def test_a_gateway_that_writes_makes_us_connect_no_more_than_once(newapi: Gateway) -> None:
    client = newapi.client(**ENV)
    events: list[str] = []
    client.application.extensions["billing"].database.on_event = events.append
    seen = []
    for number in range(20):
        newapi.execute("UPDATE tokens SET used_quota = ?", number)
        seen.append(limit(client))

    assert seen == [750 + number for number in range(20)]
    assert events == ["connect"]


def test_a_gateway_that_stops_while_we_open_its_file_leaves_its_own_files(
    newapi: Gateway, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newapi.execute("PRAGMA journal_mode = wal")
    newapi.execute("UPDATE users SET quota = 1")
    its_own = {name: Path(f"{file}{name}").stat().st_ino for name in ("-wal", "-shm")}
    open_file = SQLite._open

    def stop_and_open(dialect: SQLite) -> sqlite3.Connection:
        newapi.connection.close()
        return open_file(dialect)

    monkeypatch.setattr(SQLite, "_open", stop_and_open)

    assert limit(newapi.client(**ENV)) == 1000
    assert {name: Path(f"{file}{name}").stat().st_ino for name in its_own} == its_own


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_reads_find_the_moments_between_commits_of_a_busy_gateway(newapi: Gateway) -> None:
    path = newapi.url.removeprefix("sqlite:///")
    is_over = threading.Event()

    def write_all_the_time() -> None:
        """Keep the file locked but for half a millisecond in fifty, as commits to a disk do."""
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
            while not is_over.is_set():
                connection.execute("BEGIN EXCLUSIVE")
                time.sleep(0.05)
                connection.execute("COMMIT")
                time.sleep(0.0005)

    client = newapi.client(DATABASE_TIMEOUT="3")
    with ThreadPoolExecutor() as pool:
        writer = pool.submit(write_all_the_time)
        try:
            answers = [client.get(SUBSCRIPTION, headers=bearer(KEY)) for _ in range(10)]
        finally:
            is_over.set()
        writer.result()

    assert [answer.status_code for answer in answers] == [200] * 10
