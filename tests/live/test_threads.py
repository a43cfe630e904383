"""Workers of several threads: callers see their own figures, connections are bounded and closed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.mariadb import MariaDB
from tests.support.processes import wait_for
from tests.support.servers import under_threads
from tests.support.site import USAGE

pytestmark = under_threads

WORKERS, THREADS, CALLERS, ROUNDS = 2, 4, 16, 20


@pytest.fixture
def keys(billing: Billing) -> list[str]:
    """Keys of tokens that used 1, 2, 3 … quota units."""
    billing.user("alice")
    made = [billing.token("alice", "--quota", "1000") for _ in range(CALLERS)]
    for used, token in enumerate(made, 1):
        billing.run("usage", "record", str(token["id"]), "--model", "m", "--quota", str(used))
    billing.close()
    return [token["key"] for token in made]


@pytest.fixture
def server(server_class: type[Gunicorn], billing: Billing, tmp_path: Path) -> Iterator[Gunicorn]:
    env = {**billing.env, "WEB_CONCURRENCY": str(WORKERS), "DISPLAY_UNIT": "TOKENS"}
    server = server_class(env, tmp_path)
    yield server
    server.close()


def ask_all(server: Gunicorn, keys: list[str]) -> list[set[float]]:
    """What each caller was shown, all asking at once, again and again."""

    def ask_often(key: str) -> set[float]:
        answers = [ask(server.url, USAGE, bearer(key)) for _ in range(ROUNDS)]
        return {answer.json["total_usage"] for answer in answers}

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(ask_often, keys))


def test_every_caller_sees_its_own_figures_alone(server: Gunicorn, keys: list[str]) -> None:
    shown = ask_all(server, keys)

    assert shown == [{used * 100.0} for used in range(1, CALLERS + 1)]


@pytest.mark.parametrize("empty_url", ["mariadb"], indirect=True)
def test_a_thread_keeps_one_connection_and_the_end_closes_all(
    mariadb: MariaDB, server: Gunicorn, keys: list[str], billing: Billing
) -> None:
    name = billing.env["DATABASE_URL"].partition("?")[0].rpartition("/")[2]

    def connections() -> int:
        query = "SELECT id FROM information_schema.processlist WHERE db = %s"
        return len(mariadb.execute(query, name))

    ask_all(server, keys)
    first = connections()
    ask_all(server, keys)
    second = connections()
    server.close()

    assert 1 <= first <= second <= WORKERS * THREADS
    wait_for(lambda: connections() == 0, "the end of the connections", 10)
