"""So many heavy reads run at once, as many more wait, and the others are refused."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from billing.core.heavy_reads import HeavyReads
from billing.errors import DatabaseUnavailable


def test_no_more_than_the_limit_run_at_once() -> None:
    reads, running, most = HeavyReads(2), [0], [0]
    lock = threading.Lock()

    def read() -> None:
        with reads.slot(10):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.05)
            with lock:
                running[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read(), range(4)))

    assert most == [2]


def test_who_finds_no_place_is_refused_at_once() -> None:
    reads = HeavyReads(1)
    waiter = threading.Thread(target=lambda: _enter(reads, 10))

    with reads.slot(10):
        waiter.start()
        while not _refused_at_once(reads):
            time.sleep(0.01)
    waiter.join()

    with reads.slot(10):
        pass


def test_who_waits_too_long_is_refused_and_leaves_its_place() -> None:
    reads = HeavyReads(1)
    with reads.slot(0):
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="waited too long"), reads.slot(0.01):
                pass


def test_a_read_that_fails_leaves_its_place() -> None:
    reads = HeavyReads(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), reads.slot(0):
            _ = 1 / 0


def _enter(reads: HeavyReads, seconds: float) -> None:
    with reads.slot(seconds):
        pass


def _refused_at_once(reads: HeavyReads) -> bool:
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            stack.enter_context(reads.slot(0.5))
    except DatabaseUnavailable as error:
        return "too many" in str(error) and time.monotonic() - began < 0.4
    return False
