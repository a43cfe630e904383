"""What callers see while MariaDB or MySQL refuses, kills and fails, and when it does no longer."""

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
from tests.support.mariadb import MariaDB, OnMySQL, database_name
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
    on_mysql: OnMySQL, gunicorn: Start
) -> None:
    database, billing = on_mysql
    key = prepared(billing)
    billing.close()
    server = gunicorn({**billing.env, **TIMEOUT})

    name = database_name(billing.env["DATABASE_URL"])
    with BackgroundLoad(server.url, key, RIGHT) as drill, closing(database.connect()) as admin:
        killed = 0
        for _ in range(10):
            killed += _kill_all(admin.cursor(), name)
            # A request that has lost a connection already would not be asked a third time.
            drill.renewed()
            drill.until(200, 40)

    assert killed >= 10
    drill.check()


def _take(database: MariaDB, stack: ExitStack) -> bool:
    """Hold one more connection; False if there is none left."""
    try:
        connection = pymysql.connect(
            unix_socket=str(database.socket),
            user="billing",
            password=database.password,
            ssl_disabled=True,
        )
    except pymysql.OperationalError as error:
        if error.args[0] != 1040:
            raise
        return False
    stack.callback(connection.close)
    return True


@contextmanager
def _full(database: MariaDB, name: str) -> Iterator[None]:
    """All connections taken, also those that the service had to the database `name`."""
    with closing(database.connect()) as admin, admin.cursor() as cursor, ExitStack() as stack:
        # By the connection that is there: callers take those that are given back.
        stack.callback(cursor.execute, "SET GLOBAL max_connections = 200")
        cursor.execute("SET GLOBAL max_connections = 10")
        while _take(database, stack):
            pass
        while _kill_all(cursor, name):
            _take(database, stack)
        yield


@under_threads_too
def test_a_database_with_no_connection_left_is_503_until_there_is(
    on_mysql: OnMySQL, gunicorn: Start
) -> None:
    database, billing = on_mysql
    key = prepared(billing)
    billing.close()
    server = gunicorn({**billing.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        with _full(database, database_name(billing.env["DATABASE_URL"])):
            drill.until(503, 10)
        drill.recovered()

    drill.check(503)


def test_a_password_that_is_changed_is_503_until_it_is_put_back(
    on_mysql: OnMySQL, gunicorn: Start
) -> None:
    database, billing = on_mysql
    key = prepared(billing)
    billing.close()
    server = gunicorn({**billing.env, **TIMEOUT})
    name = database_name(billing.env["DATABASE_URL"])

    with BackgroundLoad(server.url, key, RIGHT) as drill, closing(database.connect()) as admin:
        database.change_password("another")
        try:
            # Whoever is connected stays so.
            drill.until(200, 20)
            _kill_all(admin.cursor(), name)
            drill.until(503, 10)
            refused = flask(billing.env, "user", "list")
        finally:
            database.change_password(database.password)
        drill.recovered()

    drill.check(503)
    assert refused.returncode == 1
    assert "1045" in refused.stderr
    assert "another" not in refused.stderr + server.log


def test_a_database_that_is_read_only_is_read_and_a_record_says_why_not(
    on_mysql: OnMySQL, gunicorn: Start
) -> None:
    database, billing = on_mysql
    key = prepared(billing)
    server = gunicorn({**billing.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        database.execute("SET GLOBAL read_only = 1")
        try:
            command = ("usage", "record", "1", "--model", "m", "--quota", "1")
            refused = flask(billing.env, *command)
            drill.until(200, 20)
        finally:
            database.execute("SET GLOBAL read_only = 0")

    drill.check()
    assert refused.returncode == 1
    assert "1290" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


class Failing:
    """A database whose `tokens` raise `code` on connections up to a number."""

    def __init__(self, database: MariaDB, billing: Billing, code: int) -> None:
        self.database, self.name = database, database_name(billing.env["DATABASE_URL"])
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
        return self.database.execute(sql, *parameters, database=self.name)

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
    on_mysql: OnMySQL, gunicorn: Start, code: int
) -> None:
    database, billing = on_mysql
    key, failing = prepared(billing), Failing(database, billing, code)
    billing.close()
    server = gunicorn({**billing.env, **TIMEOUT, "METRICS": "true"})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        drill.until(200, 10)
        failing.until_now()
        drill.until(200, 20)

    drill.check()
    assert _counted(server, "errors") == _counted(server, "reconnects") >= 1


@pytest.mark.parametrize("code", CODES)
def test_a_read_that_fails_again_is_a_503_after_that_one_retry(
    on_mysql: OnMySQL, gunicorn: Start, code: int
) -> None:
    database, billing = on_mysql
    key, failing = prepared(billing), Failing(database, billing, code)
    server = gunicorn({**billing.env, **TIMEOUT, "METRICS": "true", "WEB_CONCURRENCY": "1"})
    assert ask(server.url, USAGE, bearer(key)).status == 200

    failing.up_to(2**62)
    refused = ask(server.url, USAGE, bearer(key))
    failing.up_to(0)
    after = ask(server.url, USAGE, bearer(key))

    is_unreadable(USAGE, refused, 503)
    assert (after.status, after.body) == (200, RIGHT[USAGE])
    assert _counted(server, "errors") == 2
