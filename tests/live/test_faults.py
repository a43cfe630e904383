"""What callers see while a database is away or frozen, and when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import Answer, ask, bearer
from tests.support.mariadb import MariaDB, OnMySQL
from tests.support.processes import ROOT, environment, wait_for
from tests.support.servers import under_threads_too
from tests.support.site import UNAVAILABLE, UNREADABLE, USAGE, is_unreadable

TIMEOUT = {"DATABASE_TIMEOUT": "1"}


class Traffic:
    """Callers who ask all the time, until closed; `answers` holds when each answer came."""

    def __init__(self, server: Gunicorn, key: str) -> None:
        self.server, self.key = server, key
        self.answers: list[tuple[float, str, Answer]] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            for path in UNREADABLE:
                # A worker that is killed takes the answer that it was writing with it.
                with suppress(HTTPException, ConnectionError):
                    answer = ask(self.server.url, path, bearer(self.key))
                    self.answers.append((time.monotonic(), path, answer))

    def statuses(self) -> set[int]:
        return {answer.status for _, _, answer in self.answers}

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@under_threads_too
def test_callers_ride_out_a_restart_of_the_database(
    on_mysql: OnMySQL, gunicorn: Callable[..., Gunicorn]
) -> None:
    database, billing = on_mysql
    billing.user()
    key = billing.token()["key"]
    server = gunicorn({**billing.env, **TIMEOUT})
    workers, traffic = server.workers(), Traffic(server, key)
    try:
        wait_for(lambda: 200 in traffic.statuses(), "an answer")
        database.stop()
        wait_for(lambda: 503 in traffic.statuses(), "a 503")
        health = ask(server.url, "/healthz")
        ready = ask(server.url, "/readyz")
    finally:
        if database.process is None:
            database.start()
        back = time.monotonic()
        wait_for(lambda: traffic.answers[-1][0] > back + 2.5, "2.5 s of answers")
        traffic.close()

    assert (health.status, ready.status, ready.body.decode()) == (200, 503, UNAVAILABLE)
    assert traffic.statuses() == {200, 503}
    for at, path, answer in traffic.answers:
        if answer.status == 503:
            is_unreadable(path, answer, 503)
        assert answer.status == 200 or at < back + 2
    assert server.workers() == workers


def test_a_killed_worker_loses_no_recorded_usage(
    billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    billing.user()
    token = billing.token()
    server = gunicorn(billing.env)
    record = ["flask", "usage", "record", str(token["id"]), "--model", "m", "--quota", "5000"]
    traffic = Traffic(server, token["key"])
    try:
        recorders = [
            subprocess.Popen(
                [sys.executable, "-m", *record],
                cwd=ROOT,
                env=environment(billing.env),
                stdout=subprocess.DEVNULL,
            )
            for _ in range(8)
        ]
        killed = 0
        while any(recorder.poll() is None for recorder in recorders):
            workers = server.workers()
            if len(workers) == 2 and 200 in traffic.statuses():
                os.kill(workers[0], signal.SIGKILL)
                killed += 1
            time.sleep(0.2)
    finally:
        traffic.close()

    assert killed > 1
    assert [recorder.returncode for recorder in recorders] == [0] * 8
    assert traffic.statuses() == {200}
    usage = ask(server.url, USAGE, bearer(token["key"]))
    assert usage.body == b'{"object":"list","total_usage":8.0}\n'


def test_a_backup_put_back_under_a_running_service_is_noticed(
    sqlite_billing: Billing, tmp_path: Path, gunicorn: Callable[..., Gunicorn]
) -> None:
    sqlite_billing.user()
    before = sqlite_billing.token()
    sqlite_billing.run("backup", str(tmp_path / "backup.db"))
    server = gunicorn(sqlite_billing.env)
    after = sqlite_billing.token()
    sqlite_billing.run("usage", "record", str(before["id"]), "--model", "m", "--quota", "5000")
    assert _seen(server, before) == {b'{"object":"list","total_usage":1.0}\n'}

    # Another file's log must not stay beside it: SQLite would apply it.
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"billing.db{suffix}").unlink()
    os.replace(tmp_path / "backup.db", tmp_path / "billing.db")

    assert _seen(server, before) == {b'{"object":"list","total_usage":0.0}\n'}
    assert ask(server.url, USAGE, bearer(after["key"])).status == 401


def _seen(server: Gunicorn, token: dict[str, Any]) -> set[bytes]:
    """What the workers say a token used."""
    return {ask(server.url, USAGE, bearer(token["key"])).body for _ in range(8)}


@contextmanager
def _frozen(database: MariaDB) -> Iterator[None]:
    database.freeze()
    try:
        yield
    finally:
        database.resume()


def _timed(server: Gunicorn, path: str, key: str) -> tuple[float, Answer]:
    start = time.monotonic()
    answer = ask(server.url, path, bearer(key))
    return time.monotonic() - start, answer


def test_a_frozen_database_keeps_nobody_from_healthz(
    on_mysql: OnMySQL, gunicorn: Callable[..., Gunicorn]
) -> None:
    database, billing = on_mysql
    billing.user()
    key = billing.token()["key"]
    server = gunicorn({**billing.env, **TIMEOUT})
    workers = server.workers()

    with _frozen(database), ThreadPoolExecutor(40) as pool:
        crowd = [pool.submit(ask, server.url, USAGE, bearer(key)) for _ in range(30)]
        checks = [pool.submit(_timed, server, "/healthz", "") for _ in range(3)]
        answers = [future.result() for future in crowd]
        health = [future.result() for future in checks]

    for answer in answers:
        is_unreadable(USAGE, answer, 503)
    assert all(answer.status == 200 and took < 2 for took, answer in health)
    wait_for(lambda: _all_are_200(server, key), "a 200 of each worker", 2)
    assert server.workers() == workers


def _all_are_200(server: Gunicorn, key: str) -> bool:
    return {ask(server.url, USAGE, bearer(key)).status for _ in range(6)} == {200}
