"""MariaDB and MySQL by each driver: PyMySQL and mysqlclient, whichever else is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import metadata

import peewee
import pytest
from peewee import SQL

from billing.database.columns import QueryBuilder
from billing.database.connection import Database
from billing.database.dialects import dialect_for
from billing.database.dialects.base import Dialect
from billing.database.faults import driver_error
from billing.errors import DatabaseMisconfigured, DatabaseUnavailable
from config import DatabaseURL, database_url
from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.mariadb import ENDLESS_JOIN, MariaDB
from tests.support.mysql import MySQL
from tests.support.processes import wait_for

#: Each driver by what it adds to an address.
DRIVERS = {"PyMySQL": "?driver=pymysql", "mysqlclient": ""}


def statement(sql: str) -> QueryBuilder:
    return lambda columns: SQL(sql)


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> MariaDB:
    server: MariaDB = request.getfixturevalue(request.param)
    # MySQL then asks for the whole password again, which is encrypted without TLS.
    server.execute("FLUSH PRIVILEGES")
    return server


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(server: MariaDB, driver: str) -> Iterator[str]:
    """The address of an empty database."""
    with server.database() as url:
        yield url.partition("?")[0] + DRIVERS[driver]


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A reader that allows a request two seconds, of a database with our tables."""
    Billing(url).run("init")
    with contextlib.closing(Database(database_url(url), 2)) as database:
        database.start_time_budget()
        yield database


@pytest.fixture
def writer(url: str) -> Iterator[Dialect]:
    """A connection as commands have it, to an empty database."""
    with contextlib.closing(Database(database_url(url), 1, "write")) as database:
        yield database.peewee


def connection_id(database: Database) -> int:
    ((number,),) = database.fetch(statement("SELECT CONNECTION_ID()"))
    return int(number)


def test_callers_read_what_commands_wrote(url: str) -> None:
    billing = Billing(url)
    billing.run("init")
    billing.user("名", quota=500_000)
    key = billing.token("名", "--quota", "500000")["key"]

    told = billing.client().get("/v1/dashboard/billing/subscription", headers=bearer(key))

    billing.close()
    assert (told.status_code, told.get_json()["hard_limit_usd"]) == (200, 1.0)


def test_check_names_the_server_and_the_driver_that_runs(
    server: MariaDB, url: str, driver: str
) -> None:
    billing = Billing(url)
    billing.run("init")

    report = billing.json("check")

    billing.close()
    ((version,),) = server.execute("SELECT VERSION()")
    kind = "MySQL " if isinstance(server, MySQL) else ""
    assert report["database"] == f"{kind}{version}"
    assert report["driver"] == f"{driver} {metadata.version(driver)}"


def test_the_driver_is_the_one_of_the_address(database: Database, driver: str) -> None:
    database.fetch(statement("SELECT 1"))

    classes = type(database.peewee.connection()).__mro__
    modules = {each.__module__.partition(".")[0] for each in classes}
    assert modules & {"pymysql", "MySQLdb"} == {
        {"PyMySQL": "pymysql", "mysqlclient": "MySQLdb"}[driver]
    }


def test_numbers_and_texts_come_back_whole(database: Database) -> None:
    rows = database.fetch(statement("SELECT 9223372036854775807, '密🙂', NULL"))

    assert rows == [(9223372036854775807, "密🙂", None)]


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"\(1792"):
        database.fetch(statement("DELETE FROM users"))


def test_a_statement_that_is_given_up_ends_on_the_server_too(
    database: Database, server: MariaDB
) -> None:
    number = connection_id(database)
    with pytest.raises(DatabaseUnavailable):
        database.fetch(statement(ENDLESS_JOIN), heavy=True)

    running = "SELECT 1 FROM information_schema.processlist WHERE id = %s AND command = 'Query'"
    wait_for(lambda: not server.execute(running, number), "the end of the statement", 5)


def test_a_frozen_server_is_given_up(database: Database, server: MariaDB) -> None:
    database.fetch(statement("SELECT 1"))

    server.freeze()
    try:
        with pytest.raises(DatabaseUnavailable, match=r"\(2013"):
            database.fetch(statement("SELECT 1"))
    finally:
        server.resume()


def test_a_killed_connection_costs_nothing(database: Database, server: MariaDB) -> None:
    killed = connection_id(database)
    server.execute("KILL %s", killed)

    assert connection_id(database) != killed


def test_what_an_operator_must_mend_is_told_apart(database: Database) -> None:
    for sql in ("SELECT * FROM missing", "SELECT missing FROM users", "SELEC 1"):
        with pytest.raises(DatabaseMisconfigured):
            database.fetch(statement(sql))


def test_an_absent_database_and_a_wrong_password_are_told_apart(server: MariaDB, url: str) -> None:
    absent, wrong = url.replace("/billing_", "/billing_absent_"), url.replace("pass", "fail")
    for address, error, code in (
        (absent, DatabaseMisconfigured, 1049),
        (wrong, DatabaseUnavailable, 1045),
    ):
        with contextlib.closing(Database(database_url(address), 1)) as database:
            database.start_time_budget()
            with pytest.raises(error, match=rf"\({code}, "):
                database.fetch(statement("SELECT 1"))


def test_a_second_row_of_a_key_is_a_duplicate(writer: Dialect) -> None:
    writer.execute_sql("CREATE TABLE t (id int PRIMARY KEY)")
    writer.execute_sql("INSERT INTO t VALUES (1)")

    with pytest.raises(peewee.IntegrityError) as raised:
        writer.execute_sql("INSERT INTO t VALUES (1)")

    assert writer.is_duplicate(driver_error(raised.value))


def test_an_update_that_changes_nothing_counts_the_rows_that_it_found(writer: Dialect) -> None:
    writer.execute_sql("CREATE TABLE t (id int)")
    writer.execute_sql("INSERT INTO t VALUES (1), (2)")

    assert writer.execute_sql("UPDATE t SET id = id").rowcount == 2


def test_two_commands_do_not_change_the_tables_at_once(writer: Dialect, url: str) -> None:
    other = Database(database_url(url), 1, "write")
    with contextlib.closing(other), writer.exclusive_lock():
        name = "CONCAT('billing ', LEFT(SHA2(DATABASE(), 256), 40))"
        held = other.peewee.fetch_all(f"SELECT IS_USED_LOCK({name}) IS NOT NULL")

    assert held == [(1,)]


@pytest.mark.parametrize("tls", [{"ssl": "verify"}, {"ssl": "skip-verify"}, {"ssl_ca": "ca.pem"}])
def test_an_address_with_tls_is_read_by_pymysql(tls: dict[str, str]) -> None:
    plain, secure = DatabaseURL("mysql"), DatabaseURL("mysql", **tls)  # type: ignore[arg-type]

    assert [dialect_for(url).DRIVER[0] for url in (plain, secure)] == ["mysqlclient", "PyMySQL"]


def test_tls_reaches_mysql(mysql: MySQL) -> None:
    with mysql.database() as url:
        address = database_url(url.partition("?")[0] + "?ssl=skip-verify")
        with contextlib.closing(Database(address, 5)) as database:
            database.start_time_budget()
            ((_, cipher),) = database.fetch(statement("SHOW STATUS LIKE 'Ssl_cipher'"))

    assert cipher
