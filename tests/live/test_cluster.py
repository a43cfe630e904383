"""Three Galera nodes, two web nodes and nginx in front: what a lost database node costs whom."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import peewee
import pytest

from billing.db import Handle, Shape
from billing.dialects import Access
from config import database_url
from tests.clusters import Galera
from tests.conftest import Billing, bearer
from tests.live.conftest import SUBSCRIPTION, USAGE, is_unreadable
from tests.servers import (
    ROOT,
    Answer,
    Gunicorn,
    MariaDB,
    Nginx,
    ask,
    environment,
    free_port,
    wait_for,
)
from tests.test_concurrency import FLASK, RECORD, together

#: DATABASE_TIMEOUT of the web nodes, and how much longer callers may be told 503, in seconds.
TIMEOUT, GRACE = 3, 2


@pytest.fixture(scope="module")
def galera() -> Iterator[Galera]:
    cluster = Galera()
    yield cluster
    cluster.close()


@pytest.fixture
def clustered(galera: Galera) -> Iterator[Billing]:
    """Our tables on all nodes; alice has one token, with 100 dollars."""
    with galera.database() as name:
        billing = Billing(galera.url(name))
        billing.run("init")
        billing.user("alice", 50_000_000)
        yield billing
        billing.close()


@pytest.fixture
def answering() -> Iterator[Callable[[str, Access], Callable[[], int]]]:
    """A handle of an address; call it for the port of the server that answers one request."""
    with ExitStack() as stack:

        def open_handle(url: str, access: Access) -> Callable[[], int]:
            handle = Handle(database_url(url), TIMEOUT, access)
            stack.callback(handle.close)

            def port() -> int:
                handle.begin()
                return int(handle.fetch(_port)[0][0])

            return port

        yield open_handle


def _port(shape: Shape) -> peewee.Node:
    return peewee.SQL("SELECT @@port FROM users")


def test_the_first_host_that_is_up_answers(
    galera: Galera, clustered: Billing, answering: Callable[..., Callable[[], int]]
) -> None:
    url = clustered.env["DATABASE_URL"]
    dead = url.replace("@", f"@127.0.0.1:{free_port()},")

    ports = [answering(each, access)() for each in (url, dead) for access in ("read", "write")]

    assert ports == [galera.nodes[0].port] * 4


def test_a_read_only_server_answers_reads_and_is_passed_over_by_commands(
    galera: Galera, clustered: Billing, answering: Callable[..., Callable[[], int]]
) -> None:
    first, second, _ = galera.nodes
    first.execute("SET GLOBAL read_only = 1")
    try:
        ports = [answering(clustered.env["DATABASE_URL"], access)() for access in ("read", "write")]
        clustered.run("user", "credit", "alice", "--usd", "1")
    finally:
        first.execute("SET GLOBAL read_only = 0")

    assert ports == [first.port, second.port]


def test_a_node_cut_off_from_its_cluster_is_passed_over_until_it_is_back(
    galera: Galera, clustered: Billing, answering: Callable[..., Callable[[], int]]
) -> None:
    first, second, _ = galera.nodes
    port = answering(clustered.env["DATABASE_URL"], "read")
    before = port()
    galera.isolate(first)
    try:
        meanwhile = port()
        clustered.run("user", "credit", "alice", "--usd", "1")
    finally:
        galera.rejoin(first)

    assert (before, meanwhile) == (first.port, second.port)
    wait_for(lambda: port() == first.port, "the preferred node")


def test_a_frozen_node_is_left_within_one_request(
    galera: Galera, clustered: Billing, answering: Callable[..., Callable[[], int]]
) -> None:
    first, second, _ = galera.nodes
    port = answering(clustered.env["DATABASE_URL"], "read")
    before = port()
    first.process.send_signal(signal.SIGSTOP)
    try:
        meanwhile = port()
    finally:
        first.process.send_signal(signal.SIGCONT)
        galera.wait_until_in(first)

    assert (before, meanwhile) == (first.port, second.port)
    wait_for(lambda: port() == first.port, "the preferred node")


@pytest.mark.parametrize("silent", [False, True], ids=["refusing", "silent"])
def test_all_hosts_together_are_waited_for_no_longer_than_one(silent: bool) -> None:
    with ExitStack() as stack:
        hosts = []
        for _ in range(3):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", free_port()))
            if silent:
                listener.listen()
            hosts.append(f"127.0.0.1:{listener.getsockname()[1]}")
        billing = Billing(f"mysql://u@{','.join(hosts)}/billing", DATABASE_TIMEOUT="1")
        began = time.monotonic()

        answer = billing.client().get(USAGE, headers=bearer("sk-x"))

        assert time.monotonic() - began < 1 + 1
    assert answer.status_code == 503
    assert answer.get_json() == {"error": {"message": "获取使用量失败", "type": "new_api_error"}}


def test_3_writers_of_one_token_through_3_nodes_lose_nothing(
    galera: Galera, clustered: Billing
) -> None:
    token = clustered.token("alice", "--quota", "50000000")
    name = clustered.env["DATABASE_URL"].rpartition("/")[2]
    record = [
        sys.executable,
        "-W",
        "error",
        "-c",
        RECORD.replace("Usage(1,", f"Usage({token['id']},"),
    ]

    together(
        clustered, [["env", f"DATABASE_URL={node.url(name)}", *record] for node in galera.nodes]
    )

    spent = 3 * sum(range(200))
    for node in galera.nodes:
        agree(node, name, 600, spent)


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


class Seen(NamedTuple):
    """What a caller was told, and when."""

    at: float
    path: str
    answer: Answer


class Callers:
    """Two callers who ask all the time; an answer that does not come ends the test."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, bearer(key)
        self.seen: list[Seen] = []
        self.errors: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.03):
            for path in (SUBSCRIPTION, USAGE):
                try:
                    answer = ask(self._url, path, self._headers)
                except Exception as error:
                    self.errors.append(error)
                    return
                self.seen.append(Seen(time.monotonic(), path, answer))


class Import:
    """A `flask usage import` that is fed 100 lines of 5 quota at a time until it is ended."""

    def __init__(self, billing: Billing, token_id: int) -> None:
        self.process = subprocess.Popen(
            [FLASK, "usage", "import", "--json", "-"],
            cwd=ROOT,
            env=environment(billing.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._token_id, self.lines = token_id, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self._thread.start()

    def _feed(self) -> None:
        while not (self._ended.wait(0.05) and self.lines % 1000 == 0):
            for _ in range(100):
                line = {"token_id": self._token_id, "model": "m", "quota": 5, "at": 1_700_000_000}
                line["request_id"] = f"{self._token_id}-{self.lines}"
                self.process.stdin.write(f"{json.dumps(line)}\n")
                self.lines += 1
            self.process.stdin.flush()

    def more(self, lines: int) -> None:
        """Wait until so many more lines are given."""
        now = self.lines
        wait_for(lambda: self.lines >= now + lines, "lines imported", 60)

    def end(self) -> tuple[dict[str, object], str]:
        """What it printed, and what it complained of."""
        self._ended.set()
        self._thread.join()
        output, complaints = self.process.communicate(timeout=90)
        return json.loads(output), complaints


def test_a_killed_node_costs_callers_seconds_and_an_import_nothing(
    galera: Galera, clustered: Billing, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    first, name = galera.nodes[0], clustered.env["DATABASE_URL"].rpartition("/")[2]
    token = clustered.token("alice", "--quota", "50000000")
    sockets = [tmp_path / "a.sock", tmp_path / "b.sock"]
    for path in sockets:
        gunicorn({**clustered.env, "DATABASE_TIMEOUT": str(TIMEOUT)}, f"--bind=unix:{path}")
    (tmp_path / "nginx").mkdir()
    second = {"# server 10.0.0.12:8000": f"server unix:{sockets[1]}"}
    nginx = Nginx(tmp_path / "nginx", sockets[0], second)
    with ExitStack() as stack:
        stack.callback(nginx.close)
        callers = stack.enter_context(Callers(nginx.url, token["key"]))
        running = Import(clustered, token["id"])
        stack.callback(running.process.kill)
        running.more(3000)
        killed = time.monotonic()
        first.kill()
        running.more(8000)
        back = time.monotonic()
        first.start()
        galera.wait_until_in(first)
        running.more(3000)
        told, complaints = running.end()

    assert told == {"recorded": running.lines, "skipped": 0, "bad": []}
    for complaint in complaints.splitlines():
        assert "the database connection was lost: going on" in complaint
    for node in galera.nodes:
        agree(node, name, running.lines, 5 * running.lines)
    assert callers.errors == []
    for seen in callers.seen:
        if seen.answer.status == 503:
            is_unreadable(seen.path, seen.answer, 503)
            assert any(0 < seen.at - event < TIMEOUT + GRACE for event in (killed, back))
        elif seen.path == SUBSCRIPTION:
            assert seen.answer.json == {
                "object": "billing_subscription",
                "has_payment_method": True,
                "soft_limit_usd": 100.0,
                "hard_limit_usd": 100.0,
                "system_hard_limit_usd": 100.0,
                "access_until": 0,
            }
        else:
            # Each batch of the import is a cent, and none is seen in part.
            assert seen.answer.json["total_usage"] in range(running.lines // 1000 + 1)
