"""Steady light load over each fault, again and again: every answer is right or says why not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest

from soak.conftest import tell
from tests.live.test_sqlite_faults import attached
from tests.support.application import Billing
from tests.support.background_load import LONGEST, RIGHT, STARTING, TIMEOUT, BackgroundLoad
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.mariadb import MariaDB
from tests.support.site import prepared

Start = Callable[..., Gunicorn]


def _kill_connections(mariadb: MariaDB) -> None:
    for (connection,) in mariadb.execute(
        "SELECT id FROM information_schema.processlist WHERE user = 'billing'"
    ):
        with suppress(pymysql.MySQLError):
            mariadb.execute(f"KILL {connection}")


def _restart(mariadb: MariaDB) -> None:
    mariadb.stop()
    time.sleep(1)
    mariadb.start()


def _freeze(mariadb: MariaDB) -> None:
    mariadb.freeze()
    time.sleep(4)
    mariadb.resume()


def test_mariadb_is_stopped_frozen_and_cut_off(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start, minutes: float
) -> None:
    key = prepared(on_mariadb)
    on_mariadb.close()
    server = gunicorn({**on_mariadb.env, **TIMEOUT})
    workers = server.workers()

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            for fault in (_restart, _freeze, _kill_connections):
                fault(mariadb)
                drill.recovered()
                # What came before this end is judged by the next alone.
                drill.back = None

    drill.check(503)
    assert server.workers() == workers
    tell("MariaDB stopped, frozen, connections killed, in turn", drill)


def test_a_sqlite_file_is_corrupted_and_put_back(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path, minutes: float
) -> None:
    key, file = prepared(sqlite_billing), tmp_path / "billing.db"
    sqlite_billing.run("backup", str(tmp_path / "good.db"))
    sqlite_billing.close()
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})

    def put(source: str, spoil: bool) -> None:
        shutil.copy(tmp_path / source, tmp_path / "next.db")
        if spoil:
            with (tmp_path / "next.db").open("r+b") as spoilt:
                spoilt.seek(random.choice([0, 4096]))
                spoilt.write(b"\xa5" * 20000)
        for side in ("-wal", "-shm"):
            Path(f"{file}{side}").unlink(missing_ok=True)
        os.replace(tmp_path / "next.db", file)

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            put("good.db", spoil=True)
            drill.until(500, 5)
            put("good.db", spoil=False)
            drill.recovered()
            drill.back = None

    drill.check(500, 503)
    tell("SQLite file replaced by a corrupt one, and put back", drill)


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_gateway_locks_its_sqlite_file(newapi: Gateway, gunicorn: Start, minutes: float) -> None:
    server = gunicorn(attached(newapi))

    with BackgroundLoad(server.url, KEY, RIGHT) as drill:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            newapi.execute("BEGIN EXCLUSIVE")
            time.sleep(random.uniform(0, 5))
            newapi.execute("COMMIT")
            drill.recovered()
            drill.back = None

    drill.check(503)
    tell("SQLite file of a gateway locked for up to 5 s", drill)


def test_workers_are_killed_and_reloaded(
    sqlite_billing: Billing, gunicorn: Start, minutes: float
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT, "METRICS": "true"})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        end, killed = time.monotonic() + minutes * 60, 0
        while time.monotonic() < end:
            before = server.workers()
            os.kill(before[0], signal.SIGKILL)
            killed += 1
            server.wait_for_successor(before[0])
            drill.recovered()
            before = server.workers()
            server.process.send_signal(signal.SIGHUP)
            for worker in before:
                server.wait_for_successor(worker)
            drill.recovered()

    drill.check(lost=True, longest=LONGEST + STARTING)
    # A killed worker takes with it the request that it was at, and the health check's.
    assert sum(seen.answer is None for seen in drill.seen) <= 2 * killed
    tell("worker killed -9, then SIGHUP, in turn", drill)
