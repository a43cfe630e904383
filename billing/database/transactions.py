"""Transactions of commands: repeated when they lose a race or their connection."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

import peewee

from billing.database.columns import CompiledQuery
from billing.database.dialects.base import Dialect
from billing.database.faults import driver_error, driver_errors

#: A command repeats a transaction for so many seconds.
RETRY_SECONDS = 60.0

#: A unique key that refuses this often is no race: by then `work` finds another writer's row.
_DUPLICATE_ATTEMPTS = 5

#: The longest pause before a repetition; the first ones are shorter.
_LONGEST_PAUSE_SECONDS = 1.0

_RECONNECT_PAUSE_SECONDS = 0.2

T = TypeVar("T")

log = logging.getLogger("billing")


def run_in_transaction(
    database: Dialect, work: Callable[[], T], on_connection_lost: Callable[[], None] = lambda: None
) -> T:
    """Run `work` in one transaction, repeated whole when it lost a race or its connection.

    Races between the nodes of a cluster are common. When the connection is lost, it is unknown
    whether a COMMIT on its way has happened: `on_connection_lost` is then called before `work` is
    repeated, on the next host, and `work` must find out what it has done already. Raises the
    driver's errors.
    """
    end, duplicates, was_lost = time.monotonic() + RETRY_SECONDS, 0, False
    for attempt in count():
        try:
            with database.write_transaction():
                return work()
        except (peewee.PeeweeException, OSError) as error:
            origin = driver_error(error)
            lost = database.is_connection_lost(origin)
            is_race = database.is_lost_race(origin)
            if database.is_duplicate(origin):
                duplicates += 1
                is_race = duplicates < _DUPLICATE_ATTEMPTS or was_lost
            if time.monotonic() > end or not (lost or is_race):
                raise
            if lost:
                # The next host may not have applied yet what this one had committed.
                was_lost = True
                log.warning(
                    "database connection lost, reconnecting: %s", database.error_text(origin)
                )
                database.mark_host_failed(origin)
                on_connection_lost()
                _reconnect(database, end)
        # Jitter, so that two transactions that met once do not meet again.
        longest = min(0.05 * 2**attempt, _LONGEST_PAUSE_SECONDS)
        time.sleep(random.uniform(0, longest))  # noqa: S311 -- no secret
    raise AssertionError("only a time limit ends the attempts")


def execute_many(database: Dialect, query: peewee.Query, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a write once for each row, whose values take the place of PLACEHOLDER in it."""
    compiled = CompiledQuery(database, query)
    for row in rows:
        database.execute_sql(compiled.sql, compiled.bind(row))


def new_request_id() -> str:
    """A request_id for what has none, so that it is found again after a lost connection."""
    return secrets.token_hex(16)


def _reconnect(database: Dialect, end: float) -> None:
    """Raises the driver's error when no host is usable before `end`."""
    while True:
        with suppress(*driver_errors(database)):
            database.close()
        try:
            database.connect()
        except driver_errors(database):
            if time.monotonic() > end:
                raise
            time.sleep(_RECONNECT_PAUSE_SECONDS)
        else:
            return
