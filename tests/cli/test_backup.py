"""Copying a database that is in use."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import Billing
from tests.support.mariadb import MariaDB
from tests.support.processes import ROOT, environment, wait_for

FLASK = str(Path(sys.executable).with_name("flask"))


@pytest.mark.stress
def test_a_backup_is_consistent_while_a_writer_writes(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    sqlite_billing.user("alice", 10**6)
    token_id = sqlite_billing.token("alice", "--quota", "1000000")["id"]
    lines = tmp_path / "lines"
    lines.write_text(f'{{"token_id": {token_id}, "model": "m", "quota": 7}}\n' * 20_000)
    copies = [tmp_path / f"copy-{number}.db" for number in range(3)]
    command = [FLASK, "usage", "import", str(lines)]

    with subprocess.Popen(
        command, cwd=ROOT, env=environment(sqlite_billing.env), stdout=subprocess.DEVNULL
    ) as writer:
        wait_for(lambda: sqlite_billing.execute("SELECT 1 FROM logs WHERE type = 2"), "the writer")
        for copy in copies:
            sqlite_billing.run("backup", str(copy))
        still_writing = writer.poll() is None

    assert still_writing
    assert writer.returncode == 0
    for copy in copies:
        assert _sums(copy) == (10**6, 10**6, 0, "ok")


def _sums(path: Path) -> tuple[Any, ...]:
    """What the two balances began with, what the logs miss, and SQLite's own check."""
    connection = sqlite3.connect(path)
    try:
        row: tuple[Any, ...] = connection.execute(
            "SELECT remain_quota + tokens.used_quota, quota + users.used_quota, tokens.used_quota"
            " - (SELECT coalesce(sum(quota), 0) FROM logs WHERE type = 2), integrity_check"
            " FROM users, tokens, pragma_integrity_check"
        ).fetchone()
        return row
    finally:
        connection.close()


def test_a_backup_serves_as_the_original_does(sqlite_billing: Billing, tmp_path: Path) -> None:
    sqlite_billing.user("alice", 5)
    copy = tmp_path / "copy.db"

    said = sqlite_billing.json("backup", str(copy))

    assert said == {"backup": str(copy), "bytes": copy.stat().st_size}
    restored = Billing(f"sqlite:///{copy}")
    assert restored.json("user", "list") == sqlite_billing.json("user", "list")


def test_a_backup_overwrites_no_file(sqlite_billing: Billing, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")

    output = sqlite_billing.run("backup", str(there), status=1)

    assert output == f"Error: {there} exists already: name a new file\n"
    assert there.read_text() == "precious"


def test_a_backup_to_no_folder_says_so(sqlite_billing: Billing, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "copy.db"

    output = sqlite_billing.run("backup", str(file), status=1)

    assert output == f"Error: cannot write {file}: No such file or directory\n"


@pytest.mark.stress
def test_of_many_backups_to_one_file_one_is_kept(sqlite_billing: Billing, tmp_path: Path) -> None:
    sqlite_billing.user()
    copy = tmp_path / "copy.db"
    command = [FLASK, "backup", str(copy)]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(sqlite_billing.env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        for _ in range(4)
    ]

    ended = sorted(process.wait(60) for process in started)

    assert ended == [0, 1, 1, 1]
    assert Billing(f"sqlite:///{copy}").json("user", "list")[0]["username"] == "alice"


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_on_mysql_backup_names_the_tool(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: MariaDB = request.getfixturevalue(kind)
    with server.billing() as billing:
        output = billing.run("backup", str(tmp_path / "copy"), status=1)

    assert output == (
        "Error: this database is on MySQL: copy it with mysqldump --single-transaction\n"
    )
    assert not (tmp_path / "copy").exists()
