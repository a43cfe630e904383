"""Steady light load while something breaks, and what everybody was told meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from http.client import HTTPException, RemoteDisconnected
from typing import NamedTuple

from tests.support.http_client import Answer, ask, bearer
from tests.support.processes import wait_for
from tests.support.site import SUBSCRIPTION, USAGE, is_unreadable

#: What the drills set DATABASE_TIMEOUT to, and how long any answer may then take, in seconds.
TIMEOUT = {"DATABASE_TIMEOUT": "1"}
LONGEST = 2.0

#: While every worker is replaced at once, callers wait for the new ones to start as well.
STARTING = 10.0

#: A fault's end may be followed by this much of its answers, in seconds.
RECOVERY = 2.0


class Observation(NamedTuple):
    """One answer; None if there was none, or, `cut`, only a part of one."""

    at: float
    took: float
    path: str
    answer: Answer | None
    cut: bool = False


class BackgroundLoad:
    """Callers who ask all the time from `with` on; `right` holds the only right bodies."""

    def __init__(self, url: str, key: str, right: Mapping[str, bytes], callers: int = 2) -> None:
        self.url, self.key, self.right = url, key, right
        self.seen: list[Observation] = []
        self.back: float | None = None
        #: When each caller's present request began, by its thread.
        self._began: dict[int, float] = {}
        self._ended = threading.Event()
        loads = [list(right)] * callers + [["/healthz"]]
        self._threads = [threading.Thread(target=self._ask, args=(load,)) for load in loads]

    def __enter__(self) -> BackgroundLoad:
        for thread in self._threads:
            thread.start()
        self.until(200)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, paths: list[str]) -> None:
        while not self._ended.wait(0.01):
            for path in paths:
                at, answer, cut = time.monotonic(), None, False
                self._began[threading.get_ident()] = at
                try:
                    answer = ask(self.url, path, bearer(self.key))
                except (RemoteDisconnected, OSError):
                    time.sleep(0.05)
                except HTTPException:
                    cut = True
                self.seen.append(Observation(at, time.monotonic() - at, path, answer, cut))

    def figures(self) -> list[Observation]:
        return [seen for seen in list(self.seen) if seen.path != "/healthz"]

    def renewed(self) -> None:
        """Wait until every request that is on its way now is over."""
        now = time.monotonic()
        wait_for(lambda: all(at > now for at in list(self._began.values())), "new requests")

    def until(self, status: int | None, count: int = 1) -> None:
        """Wait until so many of those asked from now on were answered with `status`."""
        now = time.monotonic()

        def enough() -> bool:
            answers = [seen.answer for seen in self.figures() if seen.at > now]
            return sum((answer and answer.status) == status for answer in answers) >= count

        wait_for(enough, f"{count} answers of {status}")

    def recovered(self) -> None:
        """The fault has just ended: within RECOVERY so many answers in a row are right."""
        self.back = back = time.monotonic()

        def right() -> bool:
            last = self.figures()[-30:]
            return last[0].at > back and all(
                seen.answer is not None and seen.answer.status == 200 for seen in last
            )

        wait_for(right, "the recovery", RECOVERY)

    def check(self, *statuses: int, lost: bool = False, longest: float = LONGEST) -> None:
        """Every answer was right, or a documented one of `statuses`, and came in time.

        `lost`: some callers may have had no answer at all.
        """
        assert lost or not [seen for seen in self.seen if seen.answer is None]
        answered = [(seen, seen.answer) for seen in self.seen if seen.answer is not None]
        assert {answer.status for _, answer in answered} <= {200, *statuses}
        slow = [seen[:3] for seen in self.seen if seen.took >= longest]
        assert slow == [], slow
        for seen, answer in answered:
            if seen.path == "/healthz":
                assert answer.status == 200
            elif answer.status == 200:
                assert answer.body == self.right[seen.path]
            else:
                is_unreadable(seen.path, answer, answer.status)
                assert self.back is None or seen.at < self.back + RECOVERY


#: What `prepared` makes every caller see.
RIGHT = {
    SUBSCRIPTION: (
        b'{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":100.0,'
        b'"hard_limit_usd":100.0,"system_hard_limit_usd":100.0,"access_until":0}\n'
    ),
    USAGE: b'{"object":"list","total_usage":2500.0}\n',
}
