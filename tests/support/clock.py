"""A clock that stands still until a test advances it."""

from __future__ import annotations


class Clock:
    """Seconds, as `time.monotonic` counts them: from any beginning, never back."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
