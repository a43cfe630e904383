"""What was read is remembered for a while, and not without bounds."""

from __future__ import annotations

import itertools

import pytest

from billing.core.remembered import Remembered


def test_it_is_read_again_when_the_time_is_up() -> None:
    clock, reads = [0.0], iter("abc")
    remembered = Remembered[str](60, 10, lambda: clock[0])

    found = [remembered.find(1, lambda: next(reads))]
    for clock[0] in (59.9, 60.0, 100.0):
        found.append(remembered.find(1, lambda: next(reads)))

    assert found == ["a", "a", "b", "b"]


def test_the_oldest_is_forgotten() -> None:
    reads = itertools.count()
    remembered = Remembered[int](60, 2, lambda: 0.0)

    found = [remembered.find(number, lambda: next(reads)) for number in (1, 2, 3, 3, 2, 1)]

    assert found == [0, 1, 2, 2, 1, 3]


def test_an_error_is_not_remembered() -> None:
    remembered = Remembered[int](60, 2, lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        remembered.find(1, lambda: 1 // 0)

    assert remembered.find(1, lambda: 5) == 5
