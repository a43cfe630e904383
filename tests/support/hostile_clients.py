"""Clients who hold a server up: they linger, ask for much, or never finish what they send."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import NamedTuple

from tests.support.http_client import ask, bearer
from tests.support.processes import wait_for

#: So many sockets a lingering client keeps open after their answers.
_KEPT_OPEN = 50

_HALF = b"GET /v1/dashboard/billing/usage HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-"


class HostileClients:
    """Threads that do their worst from `with` on; `statuses` counts what they were told."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.statuses: Counter[int] = Counter()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._kept_open: list[deque[socket.socket]] = []

    def add(self, count: int, behave: Callable[[], None]) -> HostileClients:
        """So many more clients, each of which calls `behave` again and again."""

        def repeat() -> None:
            while not self._ended.wait(0.01):
                with suppress(OSError):
                    behave()

        self._threads += [threading.Thread(target=repeat) for _ in range(count)]
        return self

    def __enter__(self) -> HostileClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for connection in chain.from_iterable(self._kept_open):
            connection.close()

    def lingering(self, count: int, path: str = "/v1/dashboard/billing/usage") -> HostileClients:
        """They ask, read the answer, and leave their socket open."""
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.key}\r\n"
        opened = [deque[socket.socket]() for _ in range(2)]
        self._kept_open += opened

        def linger(connection_header: str, sockets: deque[socket.socket]) -> None:
            if len(sockets) > _KEPT_OPEN:
                sockets.popleft().close()
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            sockets.append(connection)
            connection.sendall(f"{head}{connection_header}\r\n".encode())
            self.statuses[int(connection.recv(65536).split()[1])] += 1

        self.add(count - count // 2, lambda: linger("Connection: close\r\n", opened[0]))
        return self.add(count // 2, lambda: linger("", opened[1]))

    def heavy(
        self, count: int, path: str, headers: Mapping[str, str] | None = None
    ) -> HostileClients:
        """They ask for `path`, which takes long, as soon as they have the answer."""

        def read() -> None:
            answer = ask(f"http://127.0.0.1:{self.port}", path, headers or bearer(self.key))
            self.statuses[answer.status] += 1
            if answer.status != 200:
                # The clients take the processor that the server needs.
                time.sleep(0.1)

        return self.add(count, read)

    def half_sent(self, count: int) -> HostileClients:
        """They send half a request, then a byte a second, and begin again once they are closed."""
        return self.add(count, lambda: self._drip(_HALF))

    def silent(self, count: int) -> HostileClients:
        """They connect and send nothing until they are closed."""
        return self.add(count, lambda: self._drip(b""))

    def _drip(self, first: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(first)
            connection.settimeout(0.01)
            while not self._ended.wait(1):
                with suppress(TimeoutError):
                    if not connection.recv(4096):
                        return
                if first:
                    connection.sendall(b"a")


class Times(NamedTuple):
    """Seconds that one kind of light request took."""

    taken: list[float]

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.taken, n=20)[-1]

    @property
    def slowest(self) -> float:
        return max(self.taken)


def light_requests(url: str, key: str, path: str, body: bytes, seconds: float) -> Times:
    """Ask `path` for a while, every answer being a 200 with `body`."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < 20:
        began = time.monotonic()
        answer = ask(url, path, bearer(key))
        taken.append(time.monotonic() - began)
        assert (answer.status, answer.body) == (200, body)
        time.sleep(0.01)
    return Times(taken)


def wait_until_busy(clients: HostileClients, answers: int = 4) -> None:
    """Wait until the clients have had so many answers."""
    wait_for(lambda: clients.statuses.total() >= answers, "answers to hostile clients", 60)
