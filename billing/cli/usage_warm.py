"""`flask usage warm`: reads a gateway's logs into the usage cache before anybody asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click

from billing.cli.common import command
from billing.cli.output import print_result
from billing.cli.parameters import NAME, IntegerRange
from billing.core.days import DAY
from billing.core.log_slices import oldest_row
from billing.core.service import Service, current_service
from billing.core.usage_cache import UsageCache
from billing.core.usage_filling import Filling
from billing.database.disposable_file import DisposableFileError
from billing.errors import BillingError, CommandError, DatabaseUnavailable

#: Slices of one user that may fail one after the other, and the pause after one, in seconds.
_MOST_FAILURES, _FAILURE_SECONDS = 10, 1.0


class _Read(NamedTuple):
    """What was read of one user."""

    slices: int
    seconds: float


@click.command("warm")
@click.argument("user", type=NAME, required=False)
@click.option(
    "--days", type=IntegerRange(1, 3660), default=90, show_default=True, help="Until today."
)
@command
def warm_usage(user: str | None, days: int, as_json: bool) -> None:
    """Read the logs of USER, or of everybody, into the usage cache.

    What is there already is not read again: run it when you like, and again after it was ended. It
    pauses between slices, so that the gateway can write.
    """
    service = current_service()
    cache = service.usage_cache
    if cache is None:
        raise CommandError("there is no usage cache: it needs BILLING_MODE=attached, and a path")
    total = [_warm(service, cache, user_id, days) for user_id in _users(service, user)]
    result = {
        "users": len(total),
        "slices": sum(read.slices for read in total),
        "seconds_reading": round(sum(read.seconds for read in total), 3),
    }
    print_result(result, as_json)


def _users(service: Service, name: str | None) -> Iterator[int]:
    """The id of the user of that name, or of every user who used anything, with a bar for each."""
    with _failures_as_lines(service):
        service.start_request()
        if name is not None:
            found = service.queries.user_named(name)
            if found is None:
                raise CommandError(f"no user named {name!r}")
            yield found.id
            return
        last = 0
        while ids := service.queries.users_after(last):
            yield from ids
            last = ids[-1]
            service.start_request()


def _warm(service: Service, cache: UsageCache, user_id: int, days: int) -> _Read:
    end = int(time.time()) // DAY * DAY + DAY
    filling: Filling | None = None
    failures = 0
    with _failures_as_lines(service), _progress(user_id) as on_progress:
        while failures < _MOST_FAILURES:
            try:
                service.start_request()
                if filling is None:
                    oldest = oldest_row(cache.database)
                    filling = cache.filling(user_id, (end - days * DAY, end), oldest)
                if filling is None or filling.is_done():
                    break
                pause, failures = filling.read_on(), 0
                on_progress(filling.progress())
            except DatabaseUnavailable:
                failures += 1
                if failures == _MOST_FAILURES:
                    raise
                pause = _FAILURE_SECONDS
            time.sleep(pause)
    return _Read(filling.slices, filling.seconds) if filling else _Read(0, 0.0)


@contextmanager
def _failures_as_lines(service: Service) -> Iterator[None]:
    try:
        yield
    except BillingError as error:
        raise CommandError(f"the database failed: {error}") from error
    except DisposableFileError as error:
        raise CommandError(f"the usage cache cannot be used: {error}") from error
    finally:
        service.close()


@contextmanager
def _progress(user_id: int) -> Iterator[Callable[[float], None]]:
    """What takes the share that is known: a bar, when standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    with click.progressbar(length=100, label=f"user {user_id}", file=sys.stderr) as bar:

        def show(share: float) -> None:
            bar.update(round(share * 100) - bar.pos)

        yield show
        bar.update(100 - bar.pos)
