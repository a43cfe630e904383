"""gunicorn's threaded worker, whose threads get whole requests only; gunicorn.conf.py names it.

gunicorn's own gives a thread to every connection, and waits for clients to close theirs in the one
thread that accepts: eight clients that send half a request, or leave their socket open after the
answer, would stop two workers. Here that thread reads until a request's head is there, and lets
clients close while it does other work.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

#: A client may take so many seconds to send the head of a request.
_HEAD_SECONDS = 10.0

#: No head is longer, in bytes: what comes later is not read.
_LONGEST_HEAD = 65536

#: A client that reads nothing of its answer for so many seconds is cut off.
_SEND_SECONDS = 10

#: A thread waits so many seconds for the rest of a body that no view has read.
_BODY_SECONDS = 0.05

#: After an answer the client may take so many seconds to close, and send so many bytes more. An
#: earlier close could reset the connection before the client has read the answer.
_CLOSE_SECONDS = 2.0
_DRAINED_BYTES = 65536

#: A worker that stops waits so many seconds for the rest of a request's head.
_STOP_SECONDS = 0.5


class Connection(TConn):
    """A client's connection, and what was received of a request that no thread has yet."""

    received = b""
    drained = 0
    #: An event that came with the one that closed it may still name it.
    closed = False

    def receive(self) -> bool:
        """Read what has come; whether a thread can go on without waiting for the client."""
        if self.parser is not None:
            # Sent ahead, behind the request before.
            self.received += self.parser.unreader.take_buffered()
        self.sock.setblocking(False)
        chunk = b" "
        try:
            chunk = self.sock.recv(_LONGEST_HEAD)
            self.received += chunk
            if b"\r\n\r\n" not in self.received and len(self.received) >= _LONGEST_HEAD:
                self.sock.shutdown(socket.SHUT_RD)
                return True
        except BlockingIOError:
            pass
        except OSError:
            return True
        return not chunk or b"\r\n\r\n" in self.received


class Worker(ThreadWorker):
    """Connections are bounded: the oldest idle one makes room for a new one."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        #: Answered, and waiting for the client to close, oldest first.
        self._closing_conns: deque[Connection] = deque()

    def accept(self, listener: socket.socket) -> None:
        if self.cfg.is_ssl:
            # Encrypted heads cannot be read here.
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED):
                return
            raise
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _SEND_SECONDS, 0)
        )
        self.nr_conns += 1
        self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            for idle in (self._closing_conns, self.keepalived_conns, self.pending_conns):
                if idle:
                    self._close(idle.popleft())
                    break

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread, now or once the head of its request is there."""
        if self.cfg.is_ssl or conn.data_ready or conn.receive():
            conn.data_ready = False
            super().enqueue_req(conn)
            return
        conn.timeout = time.monotonic() + _HEAD_SECONDS
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        if self.cfg.is_ssl or not conn.closed:
            super().on_client_socket_readable(conn, client)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        # A part of a head gives no more time.
        if self.cfg.is_ssl or (not conn.closed and conn.receive()):
            super().on_pending_socket_readable(conn, client)

    def handle(self, conn: TConn) -> Any:
        if not self.cfg.is_ssl:
            conn.sock.setblocking(True)
            conn.init()
            conn.parser.unreader.unread(conn.received)
            conn.received = b""
        return super().handle(conn)

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        deadline = time.monotonic() + _BODY_SECONDS
        return keepalive and bool(conn.parser.finish_body(deadline=deadline))

    def finish_request(self, conn: TConn, future: Future[Any]) -> None:
        if self.cfg.is_ssl or (not (future.cancelled() or future.exception()) and future.result()):
            super().finish_request(conn, future)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._close(conn)
            return
        conn.timeout = time.monotonic() + (_CLOSE_SECONDS if self.alive else _STOP_SECONDS)
        self._closing_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Connection, client: socket.socket) -> None:
        if conn.closed:
            return
        try:
            chunk = client.recv(_DRAINED_BYTES)
        except OSError:
            chunk = b""
        conn.drained += len(chunk)
        if not chunk or conn.drained >= _DRAINED_BYTES:
            self._closing_conns.remove(conn)
            self._close(conn)

    def _close(self, conn: TConn) -> None:
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.closed = True
        conn.close()

    def murder_pending(self) -> None:
        super().murder_pending()
        while self._closing_conns and self._closing_conns[0].timeout <= time.monotonic():
            self._close(self._closing_conns.popleft())

    def _cap_keepalive(self, deadline: float) -> None:
        """A stop, or the end of a worker that has answered its number of requests.

        Its successor starts only when no connection is left, so none that waits for its client may
        keep it.
        """
        super()._cap_keepalive(deadline)
        while self._closing_conns:
            self._close(self._closing_conns.popleft())
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + _STOP_SECONDS)
