"""`flask restore`: a backup is checked, migrated and swapped in, and the old file is kept."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.gateways import Gateway
from tests.support.mariadb import MariaDB
from tests.support.migrations_to_test import MIGRATIONS


def names(billing: Billing) -> list[str]:
    return [user["username"] for user in billing.json("user", "list")]


@pytest.fixture
def backup(sqlite_billing: Billing, tmp_path: Path) -> Path:
    """A backup with alice; bob came after it."""
    sqlite_billing.user("alice")
    sqlite_billing.run("backup", str(tmp_path / "copy"))
    sqlite_billing.user("bob")
    return tmp_path / "copy"


def test_a_backup_takes_the_place_of_the_database_which_is_kept(
    sqlite_billing: Billing, backup: Path, tmp_path: Path
) -> None:
    before = backup.read_bytes()

    said = sqlite_billing.json("restore", str(backup))

    assert names(sqlite_billing) == ["alice"]
    kept = Path(said.pop("kept"))
    assert said == {"restored": str(tmp_path / "billing.db"), "migrations": []}
    assert kept.name.startswith("billing.db.before-20")
    assert names(Billing(f"sqlite:///{kept}")) == ["alice", "bob"]
    assert backup.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_in_the_wal_alone_is_kept_and_restored_too(
    sqlite_billing: Billing, backup: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "billing.db", isolation_level=None)) as writer:
        writer.execute("UPDATE users SET quota = 7")
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"billing.db{suffix}", tmp_path / f"live{suffix}")
        assert (tmp_path / "live-wal").stat().st_size > 0

        said = sqlite_billing.json("restore", str(backup))
        sqlite_billing.run("restore", str(tmp_path / "live"))

    assert [user["quota"] for user in sqlite_billing.json("user", "list")] == [7, 7]
    kept = Billing(f"sqlite:///{said['kept']}")
    assert [user["quota"] for user in kept.json("user", "list")] == [7, 7]


@pytest.mark.parametrize("was", ["missing", "corrupt"])
def test_a_database_that_is_lost_or_corrupt_is_restored(
    sqlite_billing: Billing, backup: Path, tmp_path: Path, was: str
) -> None:
    file = tmp_path / "billing.db"
    if was == "missing":
        file.unlink()
    else:
        file.write_bytes(b"\xa5" * 8192)

    said = sqlite_billing.json("restore", str(backup))

    assert names(sqlite_billing) == ["alice"]
    assert (said["kept"] is None) == (was == "missing")
    if said["kept"]:
        assert Path(said["kept"]).read_bytes() == b"\xa5" * 8192


def test_the_restored_file_has_the_mode_and_journal_of_the_old_one(
    sqlite_billing: Billing, backup: Path, tmp_path: Path
) -> None:
    file = tmp_path / "billing.db"
    file.chmod(0o664)

    sqlite_billing.run("restore", str(backup))

    assert file.stat().st_mode & 0o777 == 0o660
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def spoiled(copy: Path) -> str:
    copy.write_bytes(copy.read_bytes()[:-8192])
    return "is damaged"


def text(copy: Path) -> str:
    copy.write_text("precious")
    return "is no SQLite database"


def foreign(copy: Path) -> str:
    copy.unlink()
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("CREATE TABLE tokens (id)")
    return "is no backup of this service's database"


def newer(copy: Path) -> str:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE billing_schema SET version = 99")
    return "the tables are of a newer release: update the service"


def missing(copy: Path) -> str:
    copy.unlink()
    return "no file"


def itself(copy: Path) -> str:
    copy.unlink()
    copy.symlink_to("billing.db")
    return "is the database itself"


@pytest.mark.parametrize("make", [spoiled, text, foreign, newer, missing, itself])
def test_what_is_no_good_backup_is_refused_and_nothing_changes(
    sqlite_billing: Billing, backup: Path, tmp_path: Path, make: object
) -> None:
    reason = make(backup)  # type: ignore[operator]
    there = sorted(path.name for path in tmp_path.iterdir())

    output = sqlite_billing.run("restore", str(backup), status=1)

    assert reason in output
    assert output.count("\n") == 1
    assert names(sqlite_billing) == ["alice", "bob"]
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_a_backup_of_an_older_release_is_migrated_before_it_serves(
    sqlite_billing: Billing, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.database.schema.MIGRATIONS", MIGRATIONS)

    said = sqlite_billing.json("restore", str(backup))

    assert said["migrations"] == ["add tokens.note", "index tokens.note"]
    assert names(sqlite_billing) == ["alice"]


def test_while_another_command_writes_nothing_is_restored(
    sqlite_billing: Billing, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.database.connection._WRITE_TIMEOUT", 0.3)

    with closing(sqlite3.connect(tmp_path / "billing.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        output = sqlite_billing.run("restore", str(backup), status=1)

    assert output.startswith("Error: the database is in use by another command: ")
    assert names(sqlite_billing) == ["alice", "bob"]


def test_on_mysql_restore_names_the_tool(mariadb: MariaDB, tmp_path: Path) -> None:
    with mariadb.database() as url:
        billing = Billing(url)

        output = billing.run("restore", str(tmp_path / "copy"), status=1)

        billing.close()
    assert output == ("Error: this database is on MySQL: restore what mysqldump wrote with mysql\n")


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_gateways_file_is_not_restored(newapi: Gateway, tmp_path: Path) -> None:
    result = newapi.app().test_cli_runner().invoke(args=["restore", str(tmp_path / "copy")])

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: attached: the database is the gateway's, and this service writes none\n"
    )
