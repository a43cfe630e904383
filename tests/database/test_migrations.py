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
from billing.database.migrations import Migration
from config import database_url
from tests.support.application import Billing
from tests.support.migrations_to_test import MIGRATIONS, NEWEST
from tests.support.processes import ROOT, environment

#: What the migrations that releases have say of themselves.
RELEASED = ["add tokens and refunds to hours"]

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
    assert costs == [
        {
            "day": "2026-11-01",
            "cost": 25.0,
            "quota": 12_500_000,
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "requests": 2,
        }
    ]


def hours(billing: Billing) -> list[tuple[int | None, ...]]:
    return billing.execute(
        "SELECT created_at, quota, refunded, prompt_tokens, completion_tokens, count"
        " FROM quota_data ORDER BY created_at"
    )


def test_the_hours_of_an_older_release_get_tokens_and_refunds_from_the_logs(
    version_1: Billing,
) -> None:
    version_1.execute(
        "INSERT INTO logs VALUES"
        " (5, 1, 1793534500, 6, '', 'alice', 'ci', 'gpt-4o', 500000, 3, 4, 1, 'r2'),"
        " (6, 1, 1793534500, 2, '', 'alice', 'ci', 'gpt-4o-mini', 1, 7, 8, 1, 'r3')"
    )
    version_1.execute("UPDATE quota_data SET quota = 7000000, token_used = 23 WHERE id = 1")

    version_1.run("init")

    assert hours(version_1) == [
        (1793534400, 7_000_000, 500_000, 7, 16, 1),
        (1793538000, 5_000_000, 0, 0, 0, 1),
    ]


def test_hours_whose_logs_were_deleted_have_unknown_tokens(version_1: Billing) -> None:
    version_1.execute("DELETE FROM logs WHERE id = 3")
    version_1.execute("UPDATE quota_data SET count = 2 WHERE id = 2")

    version_1.run("init")

    assert hours(version_1) == [
        (1793534400, 7_500_000, 0, None, None, 1),
        (1793538000, 5_000_000, 0, None, None, 2),
    ]
    costs = version_1.json("usage", "show", "alice", "--from", "2026-11-01", "--to", "2026-11-02")
    assert (costs[0]["prompt_tokens"], costs[0]["requests"]) == (None, 3)


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
        "migrations": [*RELEASED, "add tokens.note", "index tokens.note"],
    }
    assert again == {"database": "ready"}
    assert version(version_1) == [(NEWEST + 2,)]
    assert version_1.execute("SELECT note FROM tokens") == [("",)]
    columns, indexes = tables(version_1)["tokens"]
    assert "note" in columns
    assert "token_note" in indexes


def test_init_prints_a_line_for_each_migration(version_1: Billing, new_release: None) -> None:
    assert version_1.run("init") == (
        "database  upgraded\nmigration: add tokens and refunds to hours\n"
        "migration: add tokens.note\nmigration: index tokens.note\n"
    )


def test_a_fresh_database_needs_no_migration(empty_url: str, new_release: None) -> None:
    billing = Billing(empty_url)

    assert billing.json("init") == {"database": "created"}
    assert version(billing) == [(NEWEST + 2,)]
    billing.close()


@pytest.mark.parametrize(("killed", "before"), [("first", NEWEST), ("second", NEWEST + 1)])
def test_a_migration_that_was_killed_half_way_is_finished_by_the_next_init(
    version_1: Billing, killed: str, before: int
) -> None:
    first = flask_with_migrations(version_1, "init", KILL_MIGRATION=killed)
    between = version(version_1)
    second = flask_with_migrations(version_1, "init", "--json")

    assert first.returncode == 9
    assert between in ([(1,)], [(before,)])
    assert (second.returncode, second.stderr) == (0, "")
    assert '"database": "upgraded"' in second.stdout
    assert "index tokens.note" in second.stdout
    assert version(version_1) == [(NEWEST + 2,)]
    columns, indexes = tables(version_1)["tokens"]
    assert "note" in columns
    assert "token_note" in indexes
    assert version_1.execute("SELECT note FROM tokens") == [("",)]


def test_a_migration_that_fails_leaves_the_version_before_it(
    version_1: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(database: object) -> None:
        raise OSError("no room")

    broken = Migration(NEWEST + 2, "fail", fail)
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS[:-1], broken))

    refused = version_1.run("init", status=1)

    assert refused == "Error: the database failed: OSError: no room" + where(version_1)
    assert version(version_1) in ([(1,)], [(NEWEST + 1,)])


def where(billing: Billing) -> str:
    """How a message about a SQLite file ends."""
    url = database_url(billing.env["DATABASE_URL"])
    return f" ({url.path})\n" if url.dialect == "sqlite" else "\n"


def test_tables_of_a_newer_release_are_left_alone(billing: Billing) -> None:
    billing.execute("UPDATE billing_schema SET version = 99")

    refused = billing.run("init", status=1)

    assert refused == "Error: the tables are of a newer release: update the service\n"
    assert version(billing) == [(99,)]
