"""Both servers with four threads a worker, over a database that every fault befalls in turn.

Callers of two tokens ask all the time: none is shown another's figures, or old ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from soak.conftest import tell
from tests.support.application import Billing
from tests.support.background_load import LONGEST, RIGHT, TIMEOUT, BackgroundLoad
from tests.support.gunicorn import Gunicorn
from tests.support.mariadb import MariaDB, database_name
from tests.support.servers import under_threads
from tests.support.site import SUBSCRIPTION, USAGE, prepared
from tests.support.slow_proxy import SlowProxy

Start = Callable[..., Gunicorn]

#: A fault lasts so long, in seconds; DATABASE_TIMEOUT is 1.
FAULT = 6.0

#: What the callers of the other token are to see.
OTHER = {
    SUBSCRIPTION: RIGHT[SUBSCRIPTION].replace(b"100.0", b"10.0"),
    USAGE: b'{"object":"list","total_usage":300.0}\n',
}


class Phase(NamedTuple):
    """From when until when callers may be told `statuses` alone."""

    name: str
    start: float
    end: float
    statuses: set[int]


class Drill:
    """A server, the database behind it with a proxy between, and who asks."""

    def __init__(self, mariadb: MariaDB, proxy: SlowProxy, name: str) -> None:
        self.mariadb, self.proxy, self.name = mariadb, proxy, name
        self.phases: list[Phase] = []

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.mariadb.freeze()
        try:
            yield
        finally:
            self.mariadb.resume()

    @contextmanager
    def slowed(self, delay: float) -> Iterator[None]:
        self.proxy.delay = delay
        try:
            yield
        finally:
            self.proxy.delay = 0
            # What is under way still comes late.
            time.sleep(delay)

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Its tables moved out, one after the other, and back in."""
        tables = self.mariadb.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", self.name
        )
        spare = f"{self.name}_spare"
        self.mariadb.execute(f"CREATE DATABASE {spare}")
        try:
            for (table,) in tables:
                self.mariadb.execute(f"RENAME TABLE {self.name}.{table} TO {spare}.{table}")
            yield
        finally:
            for (table,) in tables:
                self.mariadb.execute(f"RENAME TABLE {spare}.{table} TO {self.name}.{table}")
            self.mariadb.execute(f"DROP DATABASE {spare}")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.mariadb.stop()
        try:
            yield
        finally:
            self.mariadb.start()


@pytest.fixture
def drill(mariadb: MariaDB, on_mariadb: Billing) -> Iterator[Drill]:
    proxy = SlowProxy(mariadb.port)
    yield Drill(mariadb, proxy, database_name(on_mariadb.env["DATABASE_URL"]))
    proxy.close()


@under_threads
def test_every_fault_befalls_the_database_of_threaded_servers(
    drill: Drill, on_mariadb: Billing, gunicorn: Start, minutes: float
) -> None:
    key = prepared(on_mariadb)
    other = on_mariadb.token("alice", "--quota", "5000000")
    on_mariadb.run("usage", "record", str(other["id"]), "--model", "m", "--quota", "1500000")
    on_mariadb.close()
    url = drill.proxy.of(on_mariadb.env["DATABASE_URL"])
    server = gunicorn({**on_mariadb.env, "DATABASE_URL": url, **TIMEOUT})

    with ExitStack() as stack:
        loads = [
            stack.enter_context(BackgroundLoad(server.url, key, RIGHT, callers=4)),
            stack.enter_context(BackgroundLoad(server.url, other["key"], OTHER, callers=4)),
        ]
        # 5 minutes unless `--minutes` says otherwise than its 2.
        end = time.monotonic() + minutes * 60 * 2.5
        while time.monotonic() < end:
            for name, fault, status in (
                ("frozen", drill.frozen(), 503),
                ("slow", drill.slowed(0.1), 200),
                ("too slow", drill.slowed(2), 503),
                ("emptied", drill.emptied(), 500),
                ("stopped", drill.stopped(), 503),
            ):
                with fault:
                    begun = time.monotonic()
                    time.sleep(FAULT)
                    over = time.monotonic()
                with ThreadPoolExecutor(len(loads)) as pool:
                    recoveries = [pool.submit(load.recovered) for load in loads]
                assert [each.exception() for each in recoveries] == [None] * 2, name
                # Fault and end take a moment to be noticed.
                drill.phases.append(Phase(name, begun + LONGEST, over - LONGEST, {status}))
                # What came before this end is judged by the next alone.
                for load in loads:
                    load.back = None

    for load in loads:
        load.check(500, 503)
        for phase in drill.phases:
            told = [
                seen.answer.status
                for seen in load.figures()
                if seen.answer is not None and phase.start < seen.at < phase.end
            ]
            assert (phase.name, set(told)) == (phase.name, phase.statuses)
    # Workers that have answered 20,000 requests are replaced meanwhile, which nobody notices.
    assert "WORKER TIMEOUT" not in server.log
    loads[0].seen += loads[1].seen
    name = type(server).__name__.removeprefix("Threaded").lower()
    tell(f"{name} with 4 threads: MariaDB frozen, slowed, emptied, stopped, in turn", loads[0])
