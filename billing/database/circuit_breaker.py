"""A circuit breaker: stop asking what has just timed out, then let one caller try again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Closed: admits everybody. Open: refuses everybody. Half-open: admits one caller, the probe.

    `open_seconds` is how long it stays open after a timeout; `probe_seconds` is how long a probe
    may take before the next caller becomes one. `now` is a clock in seconds. Safe under threads.
    """

    def __init__(
        self, open_seconds: float, probe_seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_seconds, self._probe_seconds, self._now = open_seconds, probe_seconds, now
        self._lock = threading.Lock()
        self.state: State = "closed"
        #: When the next caller may probe, unless it is closed.
        self._next_probe_at = 0.0

    def admits(self) -> bool:
        """Whether the caller may ask now. The one that is admitted after a timeout is the probe."""
        if self.state == "closed":
            return True
        with self._lock:
            now = self._now()
            # Closed again meanwhile: it does not matter who is let through.
            if now < self._next_probe_at:
                return False
            self.state, self._next_probe_at = "half-open", now + self._probe_seconds
            return True

    def open(self) -> None:
        """After a timeout: refuse everybody for `open_seconds`."""
        with self._lock:
            self.state, self._next_probe_at = "open", self._now() + self._open_seconds

    def close(self) -> None:
        """After an answer, whatever it said: admit everybody."""
        if self.state != "closed":
            with self._lock:
                self.state = "closed"
