"""Who uses a cluster while something breaks, and what must hold of it afterwards."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pymysql

from tests.database.test_concurrency import FLASK
from tests.support.application import Billing
from tests.support.galera import Galera
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import Answer, ask, bearer
from tests.support.mariadb import MariaDB
from tests.support.nginx import Nginx
from tests.support.processes import ROOT, environment, wait_for
from tests.support.site import SUBSCRIPTION, USAGE, is_unreadable

#: DATABASE_TIMEOUT of the web nodes, and how much longer callers may be told 503, in seconds.
NODE_TIMEOUT, GRACE = 3, 2

LIMIT = (
    '{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":100.0,'
    '"hard_limit_usd":100.0,"system_hard_limit_usd":100.0,"access_until":0}\n'
)


class Observation(NamedTuple):
    """What a caller was told, and when."""

    at: float
    path: str
    answer: Answer


class ClusterLoad:
    """Two callers who ask all the time; an answer that does not come ends the test."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, bearer(key)
        self.seen: list[Observation] = []
        self.errors: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> ClusterLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def check(self, faults: list[float]) -> None:
        """All were answered, by 503 only for a while after each fault; the limit never moved."""
        assert self.errors == []
        assert self.seen
        refused = [seen.at for seen in self.seen if seen.answer.status == 503]
        after = [min(at - fault for fault in faults if at > fault) for at in refused]
        assert [seconds for seconds in after if seconds > NODE_TIMEOUT + GRACE] == []
        for seen in self.seen:
            if seen.answer.status == 503:
                is_unreadable(seen.path, seen.answer, 503)
                continue
            assert seen.answer.status == 200
            if seen.path == SUBSCRIPTION:
                assert seen.answer.body.decode() == LIMIT

    def _run(self) -> None:
        # Together below what nginx lets one address ask.
        while not self._ended.wait(0.05):
            for path in (SUBSCRIPTION, USAGE):
                try:
                    answer = ask(self._url, path, self._headers)
                except Exception as error:
                    self.errors.append(error)
                    return
                self.seen.append(Observation(time.monotonic(), path, answer))


@contextmanager
def watch_for_outages(cluster: Galera, outages: list[float]) -> Iterator[None]:
    """Note in `outages` each moment in which no node at all is in the cluster: none can answer."""
    ready_at = dict.fromkeys(range(len(cluster.nodes)), time.monotonic())
    ended = threading.Event()

    def ask_node(number: int) -> None:
        node = cluster.nodes[number]
        while not ended.wait(0.1):
            with suppress(OSError, pymysql.MySQLError):
                if node.listens() and cluster.ready(node):
                    ready_at[number] = time.monotonic()

    def note_outages() -> None:
        while not ended.wait(0.1):
            if time.monotonic() - max(ready_at.values()) > 0.5:
                outages.append(time.monotonic())

    threads = [threading.Thread(target=ask_node, args=(number,)) for number in ready_at]
    threads.append(threading.Thread(target=note_outages))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class Import:
    """A `flask usage import` that is given 100 of `lines` at a time until it is ended."""

    def __init__(self, url: str, lines: Iterator[dict[str, object]]) -> None:
        self.process = subprocess.Popen(
            [FLASK, "usage", "import", "--json", "-"],
            cwd=ROOT,
            env=environment({"DATABASE_URL": url}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.given: list[dict[str, object]] = []
        self._lines = lines
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self._thread.start()

    def _feed(self) -> None:
        # Whole batches of the import's.
        while not (self._ended.wait(0.05) and len(self.given) % 1000 == 0):
            some = list(islice(self._lines, 100))
            self.given += some
            assert self.process.stdin is not None
            self.process.stdin.write("".join(f"{json.dumps(line)}\n" for line in some))
            self.process.stdin.flush()

    def more(self, lines: int) -> None:
        """Wait until so many more lines are given."""
        now = len(self.given)
        wait_for(lambda: len(self.given) >= now + lines, "lines imported", 60)

    def end(self) -> tuple[dict[str, Any], str]:
        """What it printed, and what it complained of."""
        self._ended.set()
        self._thread.join()
        output, complaints = self.process.communicate(timeout=90)
        return json.loads(output), complaints


@contextmanager
def web(
    billing: Billing, gunicorn: Callable[..., Gunicorn], folder: Path, key: str
) -> Iterator[ClusterLoad]:
    """Callers of nginx in front of two web nodes."""
    sockets = [folder / "a.sock", folder / "b.sock"]
    for path in sockets:
        gunicorn({**billing.env, "DATABASE_TIMEOUT": str(NODE_TIMEOUT)}, f"--bind=unix:{path}")
    (folder / "nginx").mkdir()
    second = {"# server 10.0.0.12:8000": f"server unix:{sockets[1]}"}
    nginx = Nginx(folder / "nginx", sockets[0], second)
    try:
        with ClusterLoad(nginx.url, key) as callers:
            yield callers
    finally:
        nginx.close()


def agree(node: MariaDB, name: str, count: int, spent: int) -> None:
    """So many uses are there once each, and all sums agree, on this node."""

    def figures() -> tuple[object, ...]:
        (row,) = node.execute(
            "SELECT remain_quota + used_quota, used_quota, u.*, l.*, q.* FROM tokens,"
            " (SELECT quota, used_quota AS used, request_count FROM users) u,"
            " (SELECT COUNT(*) AS a, COUNT(DISTINCT request_id), SUM(quota) FROM logs"
            " WHERE type = 2) l, (SELECT SUM(quota), SUM(count) FROM quota_data) q",
            database=name,
        )
        return tuple(int(value) for value in row)

    rest = (50_000_000 - spent, spent, count, count, count, spent, spent, count)
    wait_for(lambda: figures() == (50_000_000, spent, *rest), f"{count} uses on every node", 10)
