"""A TCP proxy that delays each packet, as a link of many kilometres or a full one does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, suppress

from tests.support.processes import free_port

_Packets = asyncio.Queue[tuple[float, bytes]]


class SlowProxy:
    """Listens on `port` of 127.0.0.1, and passes on to `target` what comes, and back.

    Each packet is passed on `delay` seconds after it came; packets wait beside each other.
    """

    def __init__(self, target: int) -> None:
        self.port, self.target, self.delay = free_port(), target, 0.0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._listens.wait(10)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._relay_both, "127.0.0.1", self.port)
        self._listens.set()
        await self._ended.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        # Transports close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    async def _relay_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with AsyncExitStack() as stack:
            stack.callback(writer.close)
            # Cancelled by `close`; asyncio would log that as an error of this callback.
            stack.enter_context(suppress(OSError, asyncio.CancelledError))
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
            stack.callback(target_writer.close)
            await asyncio.gather(
                self._relay(reader, target_writer), self._relay(target_reader, writer)
            )

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets: _Packets = asyncio.Queue()
        await asyncio.gather(self._receive(reader, packets), self._send(packets, writer))

    async def _receive(self, reader: asyncio.StreamReader, packets: _Packets) -> None:
        data = b"first"
        while data:
            # A connection that is reset ends as one that is closed.
            data = b""
            with suppress(OSError):
                data = await reader.read(65536)
            packets.put_nowait((self._loop.time() + self.delay, data))

    async def _send(self, packets: _Packets, writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await packets.get()
            await asyncio.sleep(due - self._loop.time())
            if not data:
                writer.close()
                return
            writer.write(data)

    def of(self, url: str) -> str:
        """The URL of a database on `target`, through here."""
        return url.replace(f":{self.target}/", f":{self.port}/")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()
