"""What callers are told while the database is away, slow or not ours (CONTRACT section 1)."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from billing import create_app
from billing.database.connection import Database
from billing.database.faults import translate_error
from billing.errors import DatabaseMisconfigured, DatabaseUnavailable
from config import DatabaseURL, Settings
from tests.support.application import Billing, TwoUsers
from tests.support.http_client import bearer
from tests.support.mariadb import MariaDB, database_name
from tests.support.processes import free_port, wait_for

SUBSCRIPTION = "/v1/dashboard/billing/subscription"
USAGE = "/v1/dashboard/billing/usage"

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def sqlite_locked(two_users: TwoUsers, _: pytest.FixtureRequest) -> Iterator[None]:
    path = two_users.billing.env["DATABASE_URL"].removeprefix("sqlite:///")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", LOCK, path], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield


@contextlib.contextmanager
def mariadb_locked(two_users: TwoUsers, request: pytest.FixtureRequest) -> Iterator[None]:
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    name = database_name(two_users.billing.env["DATABASE_URL"])
    connection = pymysql.connect(
        unix_socket=str(mariadb.socket), user="root", database=name, ssl_disabled=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES tokens WRITE")
        yield


@contextlib.contextmanager
def mariadb_frozen(_: TwoUsers, request: pytest.FixtureRequest) -> Iterator[None]:
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    mariadb.freeze()
    try:
        yield
    finally:
        mariadb.resume()


BODIES = {
    SUBSCRIPTION: {"error": {"message": "获取配额失败", "type": "upstream_error"}},
    USAGE: {"error": {"message": "获取使用量失败", "type": "new_api_error"}},
}
UNAVAILABLE = {
    "error": {
        "message": "数据库暂时不可用，请稍后重试",
        "type": "new_api_error",
        "code": "database_unavailable",
    }
}
BROKEN = {
    "error": {
        "message": "服务内部错误，请稍后重试",
        "type": "new_api_error",
        "code": "internal_error",
    }
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("empty_url", "stall"),
    [("sqlite", sqlite_locked), ("mariadb", mariadb_locked), ("mariadb", mariadb_frozen)],
    indirect=["empty_url"],
)
def test_a_database_that_stalls_is_a_503_in_time_and_recovers(
    two_users: TwoUsers,
    stall: Callable[[TwoUsers, pytest.FixtureRequest], contextlib.AbstractContextManager[None]],
    path: str,
    request: pytest.FixtureRequest,
) -> None:
    client, headers = two_users.billing.client(DATABASE_TIMEOUT="0.5"), bearer(two_users.key)

    with stall(two_users, request):
        began = time.monotonic()
        answer = client.get(path, headers=headers)
        took = time.monotonic() - began

    assert (answer.status_code, answer.get_json()) == (503, BODIES[path])
    assert answer.headers["Retry-After"] == "2"
    assert took < 1.5
    wait_for(lambda: client.get(path, headers=headers).status_code == 200, "the answer", seconds=2)


def test_english_callers_are_told_in_english(tmp_path: Path) -> None:
    billing = Billing(f"sqlite:///{tmp_path / 'none.db'}")
    headers = bearer("sk-x", **{"Accept-Language": "en"})

    bodies = [billing.client().get(path, headers=headers).get_json() for path in BODIES]

    assert bodies == [
        {"error": {"message": "failed to read the quota", "type": "upstream_error"}},
        {"error": {"message": "failed to read the usage", "type": "new_api_error"}},
    ]


def assert_every_route_fails_with(url: str, status: int) -> None:
    """Every route that needs the database says so, in its documented words."""
    billing = Billing(url)
    answers = {path: billing.client().get(path, headers=bearer("sk-x")) for path in BODIES}
    answers["/readyz"] = billing.client().get("/readyz")
    billing.close()

    bodies = {**BODIES, "/readyz": UNAVAILABLE if status == 503 else BROKEN}
    assert {path: answer.get_json() for path, answer in answers.items()} == bodies
    assert {answer.status_code for answer in answers.values()} == {status}
    retry = "2" if status == 503 else None
    assert {answer.headers.get("Retry-After") for answer in answers.values()} == {retry}
    assert all("X-Request-Id" in answer.headers for answer in answers.values())
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers.values()} == {"*"}


def test_a_missing_file_is_a_503_and_the_log_names_flask_init(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_every_route_fails_with(f"sqlite:///{tmp_path / 'none.db'}", 503)

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3, "each failure is logged once"
    assert all(
        f"no file {tmp_path / 'none.db'}: restore it, or run `flask init`" in line for line in lines
    )
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables_is_a_500_and_the_log_names_flask_init(
    empty_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "billing.db").touch()

    assert_every_route_fails_with(empty_url, 500)

    assert caplog.text.count("the database does not hold our tables: run `flask init`") == 3


@pytest.mark.parametrize("content", [b"not a database\n" * 100, b"SQLite format 3\0" + b"x" * 4096])
def test_a_corrupt_or_foreign_file_is_a_500(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "billing.db").write_bytes(content)

    assert_every_route_fails_with(f"sqlite:///{tmp_path / 'billing.db'}", 500)

    assert (tmp_path / "billing.db").read_bytes() == content


def test_another_programs_file_is_a_500(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "billing.db")) as connection:
        connection.execute("CREATE TABLE tokens (id)")

    assert_every_route_fails_with(f"sqlite:///{tmp_path / 'billing.db'}", 500)


def test_a_wrong_password_is_a_503(mariadb: MariaDB) -> None:
    assert_every_route_fails_with(f"mysql://billing:wrong@127.0.0.1:{mariadb.port}/billing_x", 503)


def test_a_database_that_does_not_exist_is_a_500(mariadb: MariaDB) -> None:
    assert_every_route_fails_with(mariadb.url("billing_absent"), 500)


def test_a_server_that_is_away_is_a_503() -> None:
    assert_every_route_fails_with(f"mysql://u:p@127.0.0.1:{free_port()}/billing", 503)


def test_what_needs_no_database_is_answered_without_it() -> None:
    url = f"mysql://u:p@127.0.0.1:{free_port()}/billing"
    client = create_app(Settings.from_env({"DATABASE_URL": url})).test_client()

    statuses = {
        "healthz": client.get("/healthz").status_code,
        "no header": client.get(USAGE).status_code,
        "no path": client.get("/nowhere").status_code,
        "no method": client.post(USAGE).status_code,
        "preflight": client.options(USAGE).status_code,
    }

    assert statuses == {
        "healthz": 200,
        "no header": 401,
        "no path": 404,
        "no method": 405,
        "preflight": 200,
    }


MYSQL = DatabaseURL("mysql")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *[
            (pymysql.OperationalError(code, "…"), DatabaseUnavailable)
            for code in (1040, 1045, 1205, 1213, 1290, 1969, 2003, 2006, 2013)
        ],
        (pymysql.InterfaceError(0, ""), DatabaseUnavailable),
        (OSError("…"), DatabaseUnavailable),
        (pymysql.OperationalError(1049, "…"), DatabaseMisconfigured),
        (pymysql.OperationalError(1054, "…"), DatabaseMisconfigured),
        (pymysql.ProgrammingError(1146, "…"), DatabaseMisconfigured),
        (pymysql.ProgrammingError(1064, "…"), DatabaseMisconfigured),
        (pymysql.DataError(1406, "…"), DatabaseMisconfigured),
    ],
)
def test_an_error_of_mysql_says_whether_a_retry_can_help(
    error: Exception, expected: type[Exception]
) -> None:
    dialect = Database(MYSQL, 1).peewee

    assert type(translate_error(error, dialect, attached=False)) is expected
