"""A circuit breaker: stop asking what has just timed out, then let one caller try again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed: everybody may ask. Open: nobody. Half-open: one caller probes, the others wait.

    `open_seconds` is how long it stays open after a timeout, `probe_seconds` how long a probe may
    take before the next caller becomes one. `now` is a clock in seconds. Safe under threads.
    """

    def __init__(
        self,
        open_seconds: float,
        probe_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_seconds, self._probe_seconds, self._now = open_seconds, probe_seconds, now
        self._lock = threading.Lock()
        #: Until when nobody else may ask; None while closed.
        self._closed_to_others_until: float | None = None

    def admits(self) -> bool:
        """Whether the caller may ask now; when the open time is over, it then is the probe."""
        if self._closed_to_others_until is None:
            return True
        with self._lock:
            now, until = self._now(), self._closed_to_others_until
            if until is None:
                return True
            if now < until:
                return False
            self._closed_to_others_until = now + self._probe_seconds
            return True

    def open(self) -> None:
        """After a timeout: refuse everybody for a while."""
        with self._lock:
            self._closed_to_others_until = self._now() + self._open_seconds

    def close(self) -> None:
        """After an answer, whatever it said: let everybody ask."""
        if self._closed_to_others_until is not None:
            with self._lock:
                self._closed_to_others_until = None
