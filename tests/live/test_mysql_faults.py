"""What callers see while MariaDB refuses, kills and fails, and when it does no longer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pymysql
import pytest

from tests.support.application import Billing
from tests.support.background_load import RIGHT, TIMEOUT, BackgroundLoad
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.mariadb import MariaDB, database_name
from tests.support.processes import flask
from tests.support.servers import under_threads_too
from tests.support.site import USAGE, is_unreadable, prepared

Start = Callable[..., Gunicorn]


def _kill_all(cursor: pymysql.cursors.Cursor, name: str) -> int:
    """End every connection to that database, as an operator or a proxy may; how many."""
    query = "SELECT id FROM information_schema.processlist WHERE user = 'billing' AND db = %s"
    cursor.execute(query, (name,))
    connections = cursor.fetchall()
    for (connection,) in connections:
        with suppress(pymysql.MySQLError):
            cursor.execute(f"KILL {connection}")
    return len(connections)


@under_threads_too
def test_callers_do_not_notice_that_their_connections_are_killed(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start
) -> None:
    key = prepared(on_mariadb)
    on_mariadb.close()
    server = gunicorn({**on_mariadb.env, **TIMEOUT})

    name = database_name(on_mariadb.env["DATABASE_URL"])
    with BackgroundLoad(server.url, key, RIGHT) as drill, closing(mariadb.connect()) as admin:
        killed = 0
        for _ in range(10):
            killed += _kill_all(admin.cursor(), name)
            drill.until(200, 10)

    assert killed >= 10
    drill.check()


def _take(mariadb: MariaDB, stack: ExitStack) -> bool:
    """Hold one more connection; False if there is none left."""
    try:
        connection = pymysql.connect(
            unix_socket=str(mariadb.socket),
            user="billing",
            password=mariadb.password,
            ssl_disabled=True,
        )
    except pymysql.OperationalError as error:
        if error.args[0] != 1040:
            raise
        return False
    stack.callback(connection.close)
    return True


@contextmanager
def _full(mariadb: MariaDB, name: str) -> Iterator[None]:
    """All connections taken, also those that the service had to the database `name`."""
    with ExitStack() as stack, closing(mariadb.connect()) as admin, admin.cursor() as cursor:
        stack.callback(mariadb.execute, "SET GLOBAL max_connections = 200")
        cursor.execute("SET GLOBAL max_connections = 10")
        while _take(mariadb, stack):
            pass
        while _kill_all(cursor, name):
            _take(mariadb, stack)
        yield


@under_threads_too
def test_a_database_with_no_connection_left_is_503_until_there_is(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start
) -> None:
    key = prepared(on_mariadb)
    on_mariadb.close()
    server = gunicorn({**on_mariadb.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        with _full(mariadb, database_name(on_mariadb.env["DATABASE_URL"])):
            drill.until(503, 10)
        drill.recovered()

    drill.check(503)


def test_a_database_that_is_read_only_is_read_and_a_record_says_why_not(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start
) -> None:
    key = prepared(on_mariadb)
    server = gunicorn({**on_mariadb.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        mariadb.execute("SET GLOBAL read_only = 1")
        try:
            command = ("usage", "record", "1", "--model", "m", "--quota", "1")
            refused = flask(on_mariadb.env, *command)
            drill.until(200, 20)
        finally:
            mariadb.execute("SET GLOBAL read_only = 0")

    drill.check()
    assert refused.returncode == 1
    assert "1290" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


class Failing:
    """A database whose `tokens` raise `code` on connections up to a number."""

    def __init__(self, mariadb: MariaDB, billing: Billing, code: int) -> None:
        self.mariadb, self.name = mariadb, database_name(billing.env["DATABASE_URL"])
        for statement in (
            "CREATE TABLE failing (up_to BIGINT)",
            "INSERT INTO failing VALUES (0)",
            f"""CREATE FUNCTION fail() RETURNS INT READS SQL DATA BEGIN
                IF connection_id() <= (SELECT up_to FROM failing) THEN
                    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'injected';
                END IF;
                RETURN 1;
            END""",
            "RENAME TABLE tokens TO held",
            "CREATE VIEW tokens AS SELECT * FROM held WHERE fail() = 1",
        ):
            self._execute(statement)

    def _execute(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.mariadb.execute(sql, *parameters, database=self.name)

    def up_to(self, connection: int) -> None:
        self._execute("UPDATE failing SET up_to = %s", connection)

    def until_now(self) -> None:
        """All connections that exist fail, and none that is made from now on."""
        (newest,) = self._execute("SELECT connection_id()")[0]
        self.up_to(newest)


def _counted(server: Gunicorn, what: str) -> float:
    metrics = ask(server.url, "/metrics").body.decode()
    return float(re.findall(rf"(?m)^billing_database_{what}_total (\S+)", metrics)[0])


CODES = [1213, 1205, 1047]


@pytest.mark.parametrize("code", CODES)
def test_a_read_that_fails_once_is_tried_again_unnoticed(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start, code: int
) -> None:
    key, failing = prepared(on_mariadb), Failing(mariadb, on_mariadb, code)
    on_mariadb.close()
    server = gunicorn({**on_mariadb.env, **TIMEOUT, "METRICS": "true"})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        drill.until(200, 10)
        failing.until_now()
        drill.until(200, 20)

    drill.check()
    assert _counted(server, "errors") == _counted(server, "reconnects") >= 1


@pytest.mark.parametrize("code", CODES)
def test_a_read_that_fails_again_is_a_503_after_that_one_retry(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start, code: int
) -> None:
    key, failing = prepared(on_mariadb), Failing(mariadb, on_mariadb, code)
    server = gunicorn({**on_mariadb.env, **TIMEOUT, "METRICS": "true", "WEB_CONCURRENCY": "1"})
    assert ask(server.url, USAGE, bearer(key)).status == 200

    failing.up_to(2**62)
    refused = ask(server.url, USAGE, bearer(key))
    failing.up_to(0)
    after = ask(server.url, USAGE, bearer(key))

    is_unreadable(USAGE, refused, 503)
    assert (after.status, after.body) == (200, RIGHT[USAGE])
    assert _counted(server, "errors") == 2
