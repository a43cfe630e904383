"""The circuit breaker's three states, by a clock that the tests advance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from billing.database.circuit_breaker import CircuitBreaker
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Open for 1 s after a timeout; a probe may take 4 s."""
    return CircuitBreaker(1.0, 4.0, clock)


def test_a_new_breaker_is_closed_and_admits_everybody(breaker: CircuitBreaker) -> None:
    assert breaker.state == "closed"
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_an_open_breaker_admits_nobody_until_its_time_is_over(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.open()
    clock.advance(0.99)

    assert breaker.state == "open"
    assert not breaker.admits()


def test_a_half_open_breaker_admits_one_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.advance(1)

    admitted = [breaker.admits() for _ in range(5)]

    assert admitted == [True, False, False, False, False]
    assert breaker.state == "half-open"


def test_a_probe_that_never_ends_is_followed_by_another(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.open()
    clock.advance(1)
    breaker.admits()
    clock.advance(3.99)
    before = breaker.admits()
    clock.advance(0.01)

    assert (before, breaker.admits(), breaker.admits()) == (False, True, False)


def test_an_answer_closes_it_for_everybody(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.advance(1)
    breaker.admits()
    breaker.close()

    assert breaker.state == "closed"
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_a_probe_that_times_out_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.advance(1)
    breaker.admits()
    breaker.open()

    assert breaker.state == "open"
    assert not breaker.admits()


def test_of_many_threads_one_is_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.advance(1)

    with ThreadPoolExecutor(16) as pool:
        admitted = list(pool.map(lambda _: breaker.admits(), range(200)))

    assert sum(admitted) == 1
