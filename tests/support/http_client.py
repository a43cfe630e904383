"""HTTP as tests speak it: requests over TCP or a unix socket, and bytes sent as they are."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple

from tests.support.secrets import ERROR_BODIES


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, whose path stands in for the host."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def ask(
    url: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    client: str = "",
) -> Answer:
    """One request, on a connection of its own. `url` is http://host:port or unix:/path.

    `client` is the loopback address that it comes from, 127.0.0.1 if empty.
    """
    scheme, _, where = url.partition(":")
    kind = _UnixConnection if scheme == "unix" else http.client.HTTPConnection
    source = (client, 0) if client else None
    connection = kind(where.removeprefix("//"), timeout=30, source_address=source)
    try:
        connection.request(method, path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if answer.status >= 400 or path == "/metrics":
            ERROR_BODIES.add(answer.body)
        return answer
    finally:
        connection.close()


def exchange(port: int, *lines: bytes) -> bytes:
    """Send the lines of a request as they are; all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        received = b""
        # A server that refuses early may reset what was still being sent.
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"".join(line + b"\r\n" for line in lines) + b"\r\n")
            while chunk := connection.recv(65536):
                received += chunk
        return received


def bearer(key: str, user_id: object = None, **more: str) -> dict[str, str]:
    """The headers of a caller."""
    headers = {"Authorization": f"Bearer {key}", **more}
    return headers if user_id is None else {**headers, "New-Api-User": str(user_id)}
