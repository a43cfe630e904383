"""What an expensive read found, remembered for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """For `seconds`, by a number, such as a user's id; of the `most` numbers that were read last.

    `now` is a clock in seconds. Safe under threads, which may read the same at once.
    """

    def __init__(self, seconds: float, most: int, now: Callable[[], float]) -> None:
        self._seconds, self._most, self._now = seconds, most, now
        self._lock = threading.Lock()
        self._found: OrderedDict[int, tuple[float, T]] = OrderedDict()

    def find(self, number: int, read: Callable[[], T]) -> T:
        """What `read` returned for the number, now or not long ago; raises as it does."""
        with self._lock:
            expires_at, found = self._found.get(number, (float("-inf"), None))
        if found is not None and self._now() < expires_at:
            return found
        found = read()
        with self._lock:
            self._found[number] = self._now() + self._seconds, found
            self._found.move_to_end(number)
            if len(self._found) > self._most:
                self._found.popitem(last=False)
        return found
