"""Hostile and heavy clients, without nginx in front: the others are answered all the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.application import Billing
from tests.support.background_load import RIGHT
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.hostile_clients import HostileClients, light_requests, wait_until_busy
from tests.support.http_client import ask, bearer
from tests.support.many_rows import fill_logs
from tests.support.processes import wait_for
from tests.support.site import USAGE, prepared

Start = Callable[..., Gunicorn]

OK = b'{"status":"ok"}\n'

#: Far above what a light request takes, and below what it would wait for a hostile client.
LONGEST_P95 = 1.0

#: gunicorn_worker.py waits so many seconds for clients to close, unless the worker stops.
CLIENTS_WAIT = 2.0


def everybody_is_answered(server: Gunicorn, clients: HostileClients, key: str, body: bytes) -> None:
    with clients:
        time.sleep(1)
        figures = light_requests(server.url, key, USAGE, body, 4)
        health = light_requests(server.url, key, "/healthz", OK, 4)

    assert figures.p95 < LONGEST_P95
    assert health.p95 < LONGEST_P95


@pytest.mark.parametrize(("threads", "worker"), [("1", "sync"), ("2", "Worker")])
def test_one_thread_leaves_gunicorns_own_worker(
    sqlite_billing: Billing, gunicorn: Start, threads: str, worker: str
) -> None:
    server = gunicorn({**sqlite_billing.env, "WEB_THREADS": threads})

    assert f"Using worker: {worker}\n" in server.log


def test_clients_that_keep_their_socket_open_hold_nobody_up(
    sqlite_billing: Billing, gunicorn: Start
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn(sqlite_billing.env)
    clients = HostileClients(server.port, key).lingering(8)

    everybody_is_answered(server, clients, key, RIGHT[USAGE])


@pytest.mark.parametrize("behaviour", ["half_sent", "silent"])
def test_clients_that_send_no_whole_request_hold_nobody_up(
    sqlite_billing: Billing, gunicorn: Start, behaviour: str
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn(sqlite_billing.env)
    clients: HostileClients = getattr(HostileClients(server.port, key), behaviour)(32)

    everybody_is_answered(server, clients, key, RIGHT[USAGE])


def test_heavy_reads_hold_nobody_up(newapi: Gateway, gunicorn: Start) -> None:
    newapi.user(id=1)
    path = fill_logs(newapi, newapi.token(1), 100_000)
    server = gunicorn({"BILLING_MODE": "attached", "DATABASE_URL": newapi.url})
    body = ask(server.url, USAGE, bearer(KEY)).body
    clients = HostileClients(server.port, KEY).heavy(12, path)

    everybody_is_answered(server, clients, KEY, body)

    wait_until_busy(clients)
    assert clients.statuses[200]
    assert set(clients.statuses) <= {200, 503}


def test_more_idle_connections_than_there_are_places_shut_nobody_out(
    sqlite_billing: Billing, gunicorn: Start
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn(sqlite_billing.env, "--worker-connections=20")
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        figures = light_requests(server.url, key, USAGE, RIGHT[USAGE], 1)

    assert figures.slowest < LONGEST_P95


def test_half_a_request_does_not_keep_a_stop_waiting(
    sqlite_billing: Billing, gunicorn: Start
) -> None:
    server = gunicorn(sqlite_billing.env)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        ask(server.url, "/healthz")
        server.process.terminate()

        wait_for(lambda: server.process.poll() is not None, "the end of the server", 8)

    assert server.process.returncode == 0


def test_clients_that_wait_do_not_keep_a_worker_from_being_replaced(
    sqlite_billing: Billing, gunicorn: Start
) -> None:
    env = {**sqlite_billing.env, "WEB_CONCURRENCY": "1"}
    server = gunicorn(env, "--max-requests=300", "--max-requests-jitter=1")
    clients = HostileClients(server.port, "nobody")
    clients.lingering(4, "/healthz").half_sent(4).silent(4)

    with clients:
        health = light_requests(server.url, "nobody", "/healthz", OK, 8)

    assert server.log.count("Booting worker") > 2
    # Each replacement makes one request wait. A busy machine may delay some, but not all, for as
    # long as these clients could.
    assert min(seconds for seconds in health.taken if seconds > 0.5) < CLIENTS_WAIT


@pytest.mark.parametrize("pieces", [1, 3, 200])
def test_a_request_in_pieces_is_answered(
    sqlite_billing: Billing, gunicorn: Start, pieces: int
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn(sqlite_billing.env)
    request = f"GET {USAGE} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    size = -(-len(request) // pieces)

    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), size):
            connection.sendall(request[at : at + size])
            time.sleep(0.005)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(RIGHT[USAGE])


def test_what_is_left_of_a_body_truncates_no_answer(
    sqlite_billing: Billing, gunicorn: Start
) -> None:
    server = gunicorn(sqlite_billing.env)
    head = f"POST {USAGE} HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n".encode()

    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"a" * 20000)
        time.sleep(0.2)
        connection.sendall(b"a" * 30000)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"}\n")
