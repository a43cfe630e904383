"""Bounds the reads that may take long, so that others find a thread and a processor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from billing.errors import DatabaseUnavailable


class HeavyReads:
    """`limit` may run at once, as many more wait, the others are refused.

    Safe under threads.
    """

    def __init__(self, limit: int) -> None:
        self._admitted = threading.Semaphore(2 * limit)
        self._running = threading.Semaphore(limit)

    @contextmanager
    def slot(self, seconds: float) -> Iterator[None]:
        """Run one, after waiting for at most so many seconds.

        Raises DatabaseUnavailable when there is no place.
        """
        if not self._admitted.acquire(blocking=False):
            raise DatabaseUnavailable("too many heavy reads at once: HEAVY_READS run, more wait")
        try:
            if not self._running.acquire(timeout=seconds):
                raise DatabaseUnavailable("waited too long for other heavy reads to end")
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._admitted.release()
