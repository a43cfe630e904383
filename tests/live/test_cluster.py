"""Three Galera nodes, two web nodes and nginx in front: what a lost database node costs whom."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import peewee
import pytest

from billing.database.columns import TableColumns
from billing.database.connection import Database
from billing.database.dialects.base import Access
from config import database_url
from tests.database.test_concurrency import RECORD, together
from tests.support.application import Billing
from tests.support.cluster_load import NODE_TIMEOUT, Import, agree, watch_for_outages, web
from tests.support.galera import Galera
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import bearer
from tests.support.mariadb import database_name
from tests.support.processes import free_port, wait_for
from tests.support.site import USAGE

Answering = Callable[[str, Access], Callable[[], tuple[int, int]]]


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
def answering() -> Iterator[Answering]:
    """Opens an address, and makes one request: the server's port, the connection's number."""
    with ExitStack() as stack:

        def open_handle(url: str, access: Access) -> Callable[[], tuple[int, int]]:
            database = Database(database_url(url), NODE_TIMEOUT, access)
            stack.callback(database.close)

            def answered() -> tuple[int, int]:
                database.start_time_budget()
                ((port, connection),) = database.fetch(_port)
                return port, connection

            return answered

        yield open_handle


def _port(shape: TableColumns) -> peewee.Node:
    return peewee.SQL("SELECT @@port, CONNECTION_ID() FROM users")


def test_the_first_host_that_is_up_answers(
    galera: Galera, clustered: Billing, answering: Answering
) -> None:
    url = clustered.env["DATABASE_URL"]
    dead = url.replace("@", f"@127.0.0.1:{free_port()},")

    ports = [answering(each, access)()[0] for each in (url, dead) for access in ("read", "write")]

    assert ports == [galera.nodes[0].port] * 4


def test_a_read_only_server_answers_reads_and_is_passed_over_by_commands(
    galera: Galera, clustered: Billing, answering: Answering
) -> None:
    first, second, _ = galera.nodes
    first.execute("SET GLOBAL read_only = 1")
    try:
        ports = [
            answering(clustered.env["DATABASE_URL"], access)()[0] for access in ("read", "write")
        ]
        clustered.run("user", "credit", "alice", "--usd", "1")
    finally:
        first.execute("SET GLOBAL read_only = 0")

    assert ports == [first.port, second.port]


def test_a_node_cut_off_from_its_cluster_is_passed_over_until_it_is_back(
    galera: Galera, clustered: Billing, answering: Answering
) -> None:
    first, second, _ = galera.nodes
    ask_on = answering(clustered.env["DATABASE_URL"], "read")
    before, _ = ask_on()
    galera.isolate(first)
    try:
        meanwhile, _ = ask_on()
        clustered.run("user", "credit", "alice", "--usd", "1")
    finally:
        galera.rejoin(first)

    assert (before, meanwhile) == (first.port, second.port)
    wait_for(lambda: ask_on()[0] == first.port, "the preferred node")


def test_a_frozen_node_is_left_within_one_request_and_let_alone(
    galera: Galera, clustered: Billing, answering: Answering
) -> None:
    first, second, _ = galera.nodes
    ask_on = answering(clustered.env["DATABASE_URL"], "read")
    before, _ = ask_on()
    first.freeze()
    try:
        meanwhile, _ = ask_on()
        then, later = ask_on(), ask_on()
    finally:
        first.resume()
        galera.wait_until_whole()

    assert (before, meanwhile) == (first.port, second.port)
    # On one connection: the frozen one is not tried again with each.
    assert then == later
    wait_for(lambda: ask_on()[0] == first.port, "the preferred node")


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
    name = database_name(clustered.env["DATABASE_URL"])
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


def lines_of(token_id: int) -> Iterator[dict[str, object]]:
    """Each batch of the import is a cent."""
    for number in count():
        line = {"token_id": token_id, "model": "m", "quota": 5, "at": 1_700_000_000}
        yield {**line, "request_id": f"{token_id}-{number}"}


def test_a_killed_node_costs_callers_seconds_and_an_import_nothing(
    galera: Galera, clustered: Billing, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    first, url = galera.nodes[0], clustered.env["DATABASE_URL"]
    token = clustered.token("alice", "--quota", "50000000")
    outages: list[float] = []
    with web(clustered, gunicorn, tmp_path, token["key"]) as callers, ExitStack() as stack:
        running = Import(url, lines_of(token["id"]))
        stack.callback(running.process.kill)
        stack.enter_context(watch_for_outages(galera, outages))
        running.more(2000)
        killed = time.monotonic()
        first.kill()
        running.more(6000)
        back = time.monotonic()
        first.start()
        galera.wait_until_whole()
        running.more(2000)
        told, complaints = running.end()

    lines = len(running.given)
    assert told == {"recorded": lines, "skipped": 0, "bad": []}
    assert complaints
    for complaint in complaints.splitlines():
        assert "database connection lost, reconnecting" in complaint
    for node in galera.nodes:
        agree(node, database_name(url), lines, 5 * lines)
    # The two nodes that are left may take some seconds to agree that they are the cluster.
    callers.check([killed, back, *outages])
    seen = {seen.answer.json.get("total_usage") for seen in callers.seen if seen.path == USAGE}
    assert seen - {None} <= set(range(lines // 1000 + 1))
