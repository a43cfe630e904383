"""Bringing the tables of an earlier release up to date: in order, once, and after a kill."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.database import schema
from billing.database.connection import Database
from config import database_url
from tests.support.application import Billing
from tests.support.migrations_to_test import MIGRATIONS
from tests.support.processes import ROOT, environment

DUMPS = ROOT / "tests" / "support" / "embedded"

#: Runs `flask` with the migrations of the tests.
FLASK = """
import sys
from billing.database import schema
from tests.support.migrations_to_test import MIGRATIONS
schema.MIGRATIONS = MIGRATIONS
from wsgi import app
app.cli.main(sys.argv[1:])
"""


@pytest.fixture
def version_1(empty_url: str) -> Iterator[Billing]:
    """The tables and rows that release 1.0.0 made."""
    billing = Billing(empty_url)
    if empty_url.startswith("sqlite"):
        connection = sqlite3.connect(empty_url.removeprefix("sqlite:///"))
        connection.executescript((DUMPS / "version_1_sqlite.sql").read_text())
        connection.close()
    else:
        for statement in (DUMPS / "version_1_mysql.sql").read_text().split(";\n"):
            if statement.strip():
                billing.execute(statement)
    yield billing
    billing.close()


@pytest.fixture
def new_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with two migrations more."""
    monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS)


def tables(billing: Billing) -> dict[str, tuple[set[str], set[str]]]:
    """The columns and the indexes of each table."""
    url = billing.app.extensions["billing"].settings.database_url
    database = Database(url, 10, "write")
    database.peewee.connect()
    try:
        return {
            table: (
                {column.name for column in database.peewee.get_columns(table)},
                {index.name for index in database.peewee.get_indexes(table)} - {"PRIMARY"},
            )
            for table in database.peewee.get_tables()
        }
    finally:
        database.close()


def flask_with_migrations(
    billing: Billing, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FLASK, *arguments],
        cwd=ROOT,
        env=environment({**billing.env, "PYTHONPATH": str(ROOT), **env}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def version(billing: Billing) -> list[tuple[int, ...]]:
    return billing.execute("SELECT version FROM billing_schema")


def test_an_upgraded_database_has_the_tables_of_a_fresh_one(
    version_1: Billing, tmp_path: Path
) -> None:
    version_1.run("init")
    fresh = Billing(f"sqlite:///{tmp_path / 'fresh.db'}")
    fresh.run("init")

    assert tables(version_1) == tables(fresh)
    assert version(version_1) == version(fresh) == [(schema.newest_version(),)]
    fresh.close()


def test_an_upgraded_database_keeps_its_figures(version_1: Billing) -> None:
    version_1.run("init")

    token = version_1.json("token", "show", "1")
    user = version_1.json("user", "show", "alice")
    costs = version_1.json("usage", "show", "alice", "--from", "2026-11-01", "--to", "2026-11-02")

    assert (token["remain_quota"], token["used_quota"]) == (12_500_000, 12_500_000)
    assert (user["quota"], user["used_quota"], user["request_count"]) == (37_500_000, 12_500_000, 2)
    assert costs == [{"day": "2026-11-01", "cost": 25.0, "quota": 12_500_000}]


def test_commands_ask_for_init_before_they_use_older_tables(
    version_1: Billing, new_release: None
) -> None:
    refused = version_1.run("token", "list", status=1)

    assert refused == "Error: the tables are of an older release: run `flask init`\n"


def test_init_applies_the_migrations_in_order_and_says_which(
    version_1: Billing, new_release: None
) -> None:
    made = version_1.json("init")
    again = version_1.json("init")

    assert made == {
        "database": "upgraded",
        "migrations": ["add tokens.note", "index tokens.note"],
    }
    assert again == {"database": "ready"}
    assert version(version_1) == [(3,)]
    assert version_1.execute("SELECT note FROM tokens") == [("",)]
    columns, indexes = tables(version_1)["tokens"]
    assert "note" in columns
    assert "token_note" in indexes


def test_init_prints_a_line_for_each_migration(version_1: Billing, new_release: None) -> None:
    assert version_1.run("init") == (
        "database  upgraded\nmigration: add tokens.note\nmigration: index tokens.note\n"
    )


def test_a_fresh_database_needs_no_migration(empty_url: str, new_release: None) -> None:
    billing = Billing(empty_url)

    assert billing.json("init") == {"database": "created"}
    assert version(billing) == [(3,)]
    billing.close()


@pytest.mark.parametrize("killed", ["2", "3"])
def test_a_migration_that_was_killed_half_way_is_finished_by_the_next_init(
    version_1: Billing, killed: str
) -> None:
    first = flask_with_migrations(version_1, "init", KILL_MIGRATION=killed)
    between = version(version_1)
    second = flask_with_migrations(version_1, "init", "--json")

    assert first.returncode == 9
    assert between in ([(1,)], [(int(killed) - 1,)])
    assert (second.returncode, second.stderr) == (0, "")
    assert '"database": "upgraded"' in second.stdout
    assert "index tokens.note" in second.stdout
    assert version(version_1) == [(3,)]
    columns, indexes = tables(version_1)["tokens"]
    assert "note" in columns
    assert "token_note" in indexes
    assert version_1.execute("SELECT note FROM tokens") == [("",)]


def test_a_migration_that_fails_leaves_the_version_before_it(
    version_1: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(database: object) -> None:
        raise OSError("no room")

    broken = schema.Migration(3, "fail", fail)
    monkeypatch.setattr(schema, "MIGRATIONS", (MIGRATIONS[0], broken))

    refused = version_1.run("init", status=1)

    assert refused == "Error: the database failed: OSError: no room" + where(version_1)
    assert version(version_1) in ([(1,)], [(2,)])


def where(billing: Billing) -> str:
    """How a message about a SQLite file ends."""
    url = database_url(billing.env["DATABASE_URL"])
    return f" ({url.path})\n" if url.dialect == "sqlite" else "\n"


def test_tables_of_a_newer_release_are_left_alone(billing: Billing) -> None:
    billing.execute("UPDATE billing_schema SET version = 99")

    refused = billing.run("init", status=1)

    assert refused == "Error: the tables are of a newer release: update the service\n"
    assert version(billing) == [(99,)]
