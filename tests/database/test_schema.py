"""Making, recognising and copying our own tables, on each kind of server."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from tests.support.application import Billing
from tests.support.mariadb import MariaDB
from tests.support.processes import ROOT, environment

COLUMNS = {
    "billing_schema": ["id int", "version int"],
    "users": [
        "id bigint",
        "username varchar(64)",
        "status bigint",
        "access_token varchar(64)",
        "quota bigint",
        "used_quota bigint",
        "request_count bigint",
        "created_at bigint",
        "deleted_at datetime",
    ],
    "tokens": [
        "id bigint",
        "user_id bigint",
        "key varchar(128)",
        "status bigint",
        "name varchar(191)",
        "created_time bigint",
        "expired_time bigint",
        "remain_quota bigint",
        "unlimited_quota tinyint(1)",
        "used_quota bigint",
        "allow_ips text",
        "deleted_at datetime",
    ],
    "logs": [
        "id bigint",
        "user_id bigint",
        "created_at bigint",
        "type bigint",
        "content text",
        "username varchar(64)",
        "token_name varchar(191)",
        "model_name varchar(64)",
        "quota bigint",
        "prompt_tokens bigint",
        "completion_tokens bigint",
        "token_id bigint",
        "request_id varchar(64)",
    ],
    "quota_data": [
        "id bigint",
        "user_id bigint",
        "token_id bigint",
        "username varchar(64)",
        "model_name varchar(64)",
        "created_at bigint",
        "token_used bigint",
        "count bigint",
        "quota bigint",
        "prompt_tokens bigint",
        "completion_tokens bigint",
        "refunded bigint",
    ],
}
FOREIGN = (
    "Error: this database has tables, but not ours: nothing was touched. To answer from a running "
    "gateway's database set BILLING_MODE=attached; else name an empty database\n"
)


@pytest.fixture
def empty(empty_url: str) -> Iterator[Billing]:
    held = Billing(empty_url)
    yield held
    held.close()


def test_a_second_init_changes_nothing(empty: Billing) -> None:
    assert empty.json("init") == {"database": "created"}
    user = empty.user()

    assert empty.json("init") == {"database": "ready"}
    assert empty.json("user", "show", "alice")["id"] == user["id"]


INDEX = {
    "sqlite": "DROP INDEX log_type_request_id",
    "mysql": "DROP INDEX log_type_request_id ON logs",
}


@pytest.mark.parametrize("lost", [[], ["index"], ["index", "quota_data"], ["users", "tokens"]])
def test_the_next_init_finishes_an_interrupted_one(billing: Billing, lost: list[str]) -> None:
    dialect = billing.app.extensions["billing"].settings.database_url.dialect
    billing.execute("DELETE FROM billing_schema")
    for name in lost:
        billing.execute(INDEX[dialect] if name == "index" else f"DROP TABLE {name}")
    refused = billing.run("user", "list", status=1)

    made = billing.json("init")

    assert refused == ("Error: the database does not hold our tables yet: run `flask init`\n")
    assert made == {"database": "created"}
    billing.user()
    log = "INSERT INTO logs (user_id, created_at, type, content, username, token_name,"
    log += " model_name, quota, prompt_tokens, completion_tokens, token_id, request_id)"
    log += " VALUES (1, 1, 2, '', '', '', '', 0, 0, 0, 1, 'r')"
    billing.execute(log)
    with pytest.raises(peewee.IntegrityError):
        billing.execute(log)
    assert billing.json("init") == {"database": "ready"}


@pytest.mark.stress
def test_many_inits_at_once_make_one_database(empty: Billing) -> None:
    command = [str(Path(sys.executable).with_name("flask")), "init", "--json"]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(empty.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(6)
    ]

    said = sorted(process.communicate(timeout=60)[0] for process in started)

    assert said == ['{"database": "created"}\n'] + 5 * ['{"database": "ready"}\n']
    assert empty.execute("SELECT version FROM billing_schema") == [(2,)]


@pytest.mark.parametrize("command", ["init", "quickstart", "user list", "usage import -"])
def test_another_programs_database_is_left_untouched(empty: Billing, command: str) -> None:
    sqlite = empty.env["DATABASE_URL"].startswith("sqlite")
    if sqlite:
        path = empty.app.extensions["billing"].settings.database_url.path
        sqlite3.connect(path).close()
    empty.execute("CREATE TABLE users (id INTEGER)")
    before = path.read_bytes() if sqlite else None

    output = empty.run(*command.split(), status=1)

    assert output == FOREIGN
    if sqlite:
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]
    else:
        assert empty.execute("SHOW TABLES") == [("users",)]


@pytest.mark.parametrize("command", ["init", "quickstart", "user list"])
def test_the_tables_of_a_newer_release_are_refused(billing: Billing, command: str) -> None:
    billing.execute("UPDATE billing_schema SET version = 3")

    output = billing.run(*command.split(), status=1)

    assert output == "Error: the tables are of a newer release: update the service\n"


def test_columns_are_named_and_typed_as_new_apis(billing: Billing) -> None:
    if billing.env["DATABASE_URL"].startswith("sqlite"):
        rows = billing.execute(
            "SELECT m.name, c.name, lower(c.type) FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' ORDER BY m.name, c.cid"
        )
        # Every integer of SQLite holds 64 bits.
        plain = str.maketrans("", "", "0123456789()")
        whole = {"int", "bigint", "tinyint"}
        expected = {
            table: [
                f"{name} integer" if kind.translate(plain) in whole else f"{name} {kind}"
                for name, kind in (column.split() for column in columns)
            ]
            for table, columns in COLUMNS.items()
        }
    else:
        rows = billing.execute(
            "SELECT table_name, column_name, column_type FROM information_schema.columns"
            " WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
        )
        expected = COLUMNS

    found: dict[str, list[str]] = {}
    for table, name, kind in rows:
        kind = kind if kind == "tinyint(1)" or "char" in kind else kind.partition("(")[0]
        found.setdefault(table, []).append(f"{name} {kind}")

    assert found == expected


def test_mysql_tables_tell_case_and_accents_apart(mariadb: MariaDB) -> None:
    with mariadb.database() as url:
        billing = Billing(url)
        billing.run("init")

        rows = billing.execute(
            "SELECT DISTINCT table_collation FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
        )

        billing.close()
    assert rows == [("utf8mb4_bin",)]


def test_names_that_differ_in_case_are_two(billing: Billing) -> None:
    first, second = billing.user("alice"), billing.user("Alice")
    token = billing.token("alice", "--quota", "10")
    record = ("usage", "record", str(token["id"]), "--at", "1700000000")

    for model in ("gpt-4o", "GPT-4o"):
        billing.run(*record, "--model", model, "--quota", "1")
    for request_id in ("R1", "r1"):
        said = billing.json(*record, "--model", "m", "--quota", "1", "--request-id", request_id)
        assert said == {"recorded": 1, "skipped": 0}

    assert first["id"] != second["id"]
    hours = billing.execute("SELECT model_name, quota FROM quota_data ORDER BY model_name")
    assert hours == [("GPT-4o", 1), ("gpt-4o", 1), ("m", 2)]


def test_secrets_are_stored_as_sha_256_alone(billing: Billing) -> None:
    access_token = billing.user()["access_token"]
    key = billing.token()["key"].removeprefix("sk-")

    stored = billing.execute("SELECT access_token, tokens.key FROM users, tokens")

    assert stored == [
        tuple(hashlib.sha256(text.encode()).hexdigest() for text in (access_token, key))
    ]


def test_sqlite_readers_never_wait_for_a_writer(sqlite_billing: Billing) -> None:
    assert sqlite_billing.execute("PRAGMA journal_mode") == [("wal",)]
