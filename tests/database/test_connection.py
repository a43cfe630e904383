"""The database handle: what it survives, and the time that it allows a request."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import SQL

from billing.database.connection import Build, Handle
from billing.errors import DatabaseUnavailable
from tests.conftest import Billing, World, bearer, verdict
from tests.support.servers import MariaDB, wait_for


def statement(sql: str) -> Build:
    return lambda shape: SQL(sql)


ENDLESS = statement(
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT MAX(n) FROM c"
)
ONE = statement("SELECT 1")


@pytest.fixture
def mariadb_world(mariadb: MariaDB) -> Iterator[World]:
    with mariadb.database() as url:
        held = Billing(url)
        held.run("init")
        yield World(held)
        held.close()


@pytest.fixture
def handle(sqlite_billing: Billing) -> Iterator[Handle]:
    """A reader that allows a request 0.3 s."""
    handle = Handle(sqlite_billing.app.extensions["billing"].settings.database_url, 0.3)
    yield handle
    handle.close()


def connections(mariadb: MariaDB, world: World) -> list[int]:
    name = world.billing.env["DATABASE_URL"].rpartition("/")[2]
    rows = mariadb.execute("SELECT id FROM information_schema.processlist WHERE db = %s", name)
    return [row[0] for row in rows]


def test_a_killed_connection_costs_the_caller_nothing(
    mariadb: MariaDB, mariadb_world: World
) -> None:
    handle = mariadb_world.billing.app.extensions["billing"].handle
    handle.begin()
    ((first,),) = handle.fetch(statement("SELECT CONNECTION_ID()"))
    mariadb.execute("KILL %s", first)
    wait_for(lambda: first not in connections(mariadb, mariadb_world), "the end of the connection")

    answer = mariadb_world.ask()

    assert verdict(answer) == "ok"


def test_no_transaction_is_held_between_requests(mariadb: MariaDB, mariadb_world: World) -> None:
    assert verdict(mariadb_world.ask()) == "ok"

    open_now = mariadb.execute("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx")

    assert not {row[0] for row in open_now} & set(connections(mariadb, mariadb_world))


def test_the_reads_of_one_request_share_its_budget(mariadb_world: World) -> None:
    url = mariadb_world.billing.app.extensions["billing"].settings.database_url
    handle = Handle(url, 1)
    slow = statement("SELECT SLEEP(0.7)")

    with contextlib.closing(handle):
        for _ in range(2):
            handle.begin()
            assert list(handle.fetch(slow)) == [(0,)]
        with pytest.raises(DatabaseUnavailable):
            handle.fetch(slow)


def test_a_read_that_was_given_up_ends_on_the_server_too(
    mariadb: MariaDB, mariadb_world: World
) -> None:
    handle = Handle(mariadb_world.billing.app.extensions["billing"].settings.database_url, 0.5)
    handle.begin()

    with contextlib.closing(handle), pytest.raises(DatabaseUnavailable):
        handle.fetch(statement("SELECT MAX(MD5(seq)) FROM seq_1_to_100000000000"))

    wait_for(lambda: not connections(mariadb, mariadb_world), "the end of the statement", 5)


def test_a_statement_without_end_is_ended(handle: Handle) -> None:
    handle.begin()

    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        handle.fetch(ENDLESS)


def test_after_a_timeout_nobody_waits_until_the_pause_is_over(handle: Handle) -> None:
    handle.begin()
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        handle.fetch(ENDLESS)

    handle.begin()
    with pytest.raises(DatabaseUnavailable, match="not asked"):
        handle.fetch(ONE)

    wait_for(lambda: answers(handle), "the database", seconds=3)


def answers(handle: Handle) -> bool:
    handle.begin()
    with contextlib.suppress(DatabaseUnavailable):
        return handle.fetch(ONE) == [(1,)]
    return False


def test_after_the_pause_a_single_request_probes(handle: Handle) -> None:
    handle.begin()
    with pytest.raises(DatabaseUnavailable):
        handle.fetch(ENDLESS)
    asked: list[str] = []

    def ask_until_somebody_was_let_through() -> None:
        while not asked:
            handle.begin()
            try:
                handle.fetch(ENDLESS)
            except DatabaseUnavailable as error:
                if "not asked" not in str(error):
                    asked.append(str(error))
            time.sleep(0.001)
        handle.close()

    threads = [threading.Thread(target=ask_until_somebody_was_let_through) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1


def test_a_file_that_was_replaced_is_reopened(sqlite_billing: Billing, tmp_path: Path) -> None:
    world = World(sqlite_billing)
    assert verdict(world.ask()) == "ok"
    other = Billing(f"sqlite:///{tmp_path / 'other.db'}")
    other.run("init")
    other.user("carol")
    token = other.token("carol")

    (tmp_path / "other.db").rename(tmp_path / "billing.db")

    assert verdict(world.ask()) == "invalid_api_key"
    assert verdict(world.ask(bearer(token["key"]))) == "ok"


def test_a_file_that_went_and_came_back_is_read_again(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    world = World(sqlite_billing)
    assert verdict(world.ask()) == "ok"
    (tmp_path / "billing.db").rename(tmp_path / "away.db")
    assert world.ask().status_code == 503

    (tmp_path / "away.db").rename(tmp_path / "billing.db")

    assert verdict(world.ask()) == "ok"


def test_the_services_connection_refuses_to_write(sqlite_billing: Billing) -> None:
    sqlite_billing.user("alice")
    handle = sqlite_billing.app.extensions["billing"].handle
    handle.begin()

    with pytest.raises(DatabaseUnavailable, match="attempt to write a readonly database"):
        handle.fetch(statement("DELETE FROM users"))

    assert sqlite_billing.execute("SELECT username FROM users") == [("alice",)]


def test_a_heavy_read_that_took_too_long_refuses_nobody_else(handle: Handle) -> None:
    handle.begin()
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        handle.fetch(ENDLESS, heavy=True)

    handle.begin()

    assert handle.fetch(ONE) == [(1,)]
