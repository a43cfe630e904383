"""The terms of a request: settings, display and options that change together or not at all."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest

from billing.core.service import Service
from billing.errors import DatabaseUnavailable
from config import Settings
from tests.support.clock import Clock
from tests.support.gateways import Gateway, open_gateway


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.option("QuotaPerUnit", "500000")
        yield gateway


@pytest.fixture
def service(gateway: Gateway, clock: Clock) -> Iterator[Service]:
    """Attached; options are read again after 60 s of the clock."""
    env = {"BILLING_MODE": "attached", "DATABASE_URL": gateway.url}
    service = Service(Settings.from_env(env), clock)
    yield service
    service.close()


def set_rate(gateway: Gateway, text: str) -> None:
    gateway.execute('UPDATE "options" SET "value" = ? WHERE "key" = ?', text, "QuotaPerUnit")


def test_a_request_goes_on_with_the_rate_that_it_began_with(
    gateway: Gateway, service: Service, clock: Clock
) -> None:
    service.start_request()
    before = service.display.amount(1_000_000)
    set_rate(gateway, "250000")
    clock.advance(60.1)

    def another_request() -> Fraction:
        service.start_request()
        amount = service.display.amount(1_000_000)
        service.close()
        return amount

    with ThreadPoolExecutor(1) as pool:
        of_another = pool.submit(another_request).result()

    assert [before, of_another] == [Fraction(2), Fraction(4)]
    assert service.display.amount(1_000_000) == 2
    assert service.settings.quota_per_unit == 500_000
    service.start_request()
    assert service.display.amount(1_000_000) == 4
    assert service.settings.quota_per_unit == 250_000


def test_one_thread_reads_the_options_and_the_others_do_not_wait(
    gateway: Gateway, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.start_request()
    set_rate(gateway, "250000")
    clock.advance(60.1)
    reading, go_on, reads = threading.Event(), threading.Event(), []
    read_options = service.queries.options

    def read_slowly() -> list[tuple[str, str]]:
        reads.append(threading.current_thread().name)
        reading.set()
        assert go_on.wait(10)
        return read_options()

    monkeypatch.setattr(service.queries, "options", read_slowly)

    def request() -> Fraction:
        service.start_request()
        amount = service.display.amount(1_000_000)
        service.close()
        return amount

    with ThreadPoolExecutor(5) as pool:
        refresher = pool.submit(request)
        assert reading.wait(10)
        meanwhile = [pool.submit(request).result(10) for _ in range(4)]
        go_on.set()

        assert meanwhile == [2] * 4
        assert refresher.result(10) == 4
    assert len(reads) == 1


def test_the_first_requests_wait_for_the_options(
    service: Service, monkeypatch: pytest.MonkeyPatch, gateway: Gateway
) -> None:
    set_rate(gateway, "250000")
    started = threading.Barrier(4)

    def request() -> Fraction:
        started.wait(10)
        service.start_request()
        amount = service.display.amount(1_000_000)
        service.close()
        return amount

    with ThreadPoolExecutor(4) as pool:
        amounts = [future.result() for future in [pool.submit(request) for _ in range(4)]]

    assert amounts == [4] * 4


def test_options_that_cannot_be_read_are_read_by_the_next_request(
    gateway: Gateway, service: Service, clock: Clock
) -> None:
    service.start_request()
    set_rate(gateway, "250000")
    clock.advance(60.1)
    path = gateway.url.removeprefix("sqlite:///")
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")

    with pytest.raises(DatabaseUnavailable):
        service.start_request()
    lock.close()
    # The circuit breaker's second.
    threading.Event().wait(1.1)
    service.start_request()

    assert service.display.amount(1_000_000) == 4
