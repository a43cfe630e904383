"""Reads a gateway's logs by ranges of ids: what a user used, and which ids a day has.

Gateways insert a row with the next id, and never change one; `created_at` is when a row was made,
which may be long before it was written (docs/gateways.md section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from peewee import Field, Node, Select, fn

from billing.core.days import DAY
from billing.core.hour_queries import logs_query
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.connection import Database
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log
from billing.database.usage_rows import Cell, Mark

#: What times of cells are multiples of: every zone's midnight is one.
CELL_SECONDS = 900

#: Above every id.
LAST_ID = 2**63 - 1

#: Above every time.
_LAST_SECOND = 2**62

#: Rows whose time is more than so many seconds in the future do not count as recent.
_FUTURE_SECONDS = DAY


class LogRow(NamedTuple):
    """A row of the logs, and when it was made."""

    id: int
    created_at: int


def oldest_row(database: Database) -> LogRow | None:
    """The oldest use or refund in the logs, of anybody; None when there is none."""
    rows = database.fetch(_oldest_row, heavy=True)
    return LogRow(*map(int, rows[0])) if rows else None


def have_token_counts(database: Database) -> bool:
    """Whether the logs have prompt and completion tokens."""
    columns = database.table_columns()
    fields = (Log.prompt_tokens, Log.completion_tokens)
    return all(columns.has("logs", field.column_name) for field in fields)


def cells(database: Database, user_id: int, low: int, high: int) -> list[Cell]:
    """What a user used by the rows with ids above `low` up to `high`, in no order, in parts."""
    query = logs_query((Log.user_id,), by_token=True, bounded=True)
    values = (0, CELL_SECONDS, user_id, 0, _LAST_SECOND, low + 1, high)
    found = []
    for number, token, model, type, *sums in database.fetch(query, *values, heavy=True):
        if isinstance(token, bytes):
            # Names that are compared to the byte come as bytes from MySQL.
            token = token.decode(errors="replace")
        quota, *tokens_and_count = map(int, sums)
        cell = Cell(int(number) * CELL_SECONDS, token, model, quota, 0, *tokens_and_count)
        found.append(cell.as_refund() if type == LOG_REFUND else cell)
    return found


def newest_mark(database: Database, closed: int, now: float) -> Mark | None:
    """The highest id below those of all rows made since `closed`; None without a use below it."""
    ((last,),) = database.fetch(_last_id, heavy=True)
    horizon = int(now) + _FUTURE_SECONDS
    ((first_open,),) = database.fetch(_first_id, closed, horizon, heavy=True)
    # Of ids, since rows may be inserted between the two reads.
    id = int(last or 0) if first_open is None else min(int(first_open) - 1, int(last or 0))
    rows = database.fetch(_newest_use, id, horizon, heavy=True)
    return Mark(id, closed, int(rows[0][0]), _text(rows[0])) if rows else None


def oldest_unless_replaced(database: Database, mark: Mark) -> tuple[bool, LogRow | None]:
    """Whether the logs are still the table that the mark was read from, and its oldest row.

    The mark's row is the newest of those up to its id: gateways delete by age, so that when it was
    deleted no other is left.
    """
    rows = database.fetch(_row, mark.row_id, heavy=True)
    oldest = oldest_row(database)
    if rows:
        return _text(rows[0]) == mark.row, oldest
    ((before,),) = database.fetch(_first_use, mark.id, heavy=True)
    return before is None, oldest


def first_id(database: Database) -> int:
    """The lowest id of all rows; LAST_ID when there are none."""
    ((first,),) = database.fetch(_lowest_id, heavy=True)
    return LAST_ID if first is None else int(first)


def first_id_between(database: Database, start: int, end: int) -> int:
    """The lowest id of the rows made from `start` to before `end`; LAST_ID when there are none."""
    ((first,),) = database.fetch(_first_id, start, end, heavy=True)
    return LAST_ID if first is None else int(first)


def _oldest_row(columns: TableColumns) -> Node:
    # The sum keeps an index on the type alone out of it, which would have all rows sorted.
    counted = (Log.type + 0).in_((LOG_CONSUME, LOG_REFUND))
    rows = Log.select(Log.id, Log.created_at).where(counted, Log.created_at > 0)
    return rows.order_by(Log.created_at).limit(1)


def _inside(low: Node, high: Node) -> tuple[Node, Node]:
    return Log.created_at >= low, Log.created_at < high


def _first_id(columns: TableColumns) -> Node:
    # The sum keeps databases from looking for it along the ids, past all rows of other times.
    return Log.select(fn.MIN(Log.id + 0)).where(*_inside(PLACEHOLDER, PLACEHOLDER))


def _last_id(columns: TableColumns) -> Node:
    return Log.select(fn.MAX(Log.id))


def _lowest_id(columns: TableColumns) -> Node:
    return Log.select(fn.MIN(Log.id))


def _first_use(columns: TableColumns) -> Node:
    counted = (Log.type + 0).in_((LOG_CONSUME, LOG_REFUND))
    return Log.select(fn.MIN(Log.id)).where(Log.id <= PLACEHOLDER, counted)


#: What tells a row from that of another table.
_IDENTIFYING_FIELDS: tuple[Field[Any], ...] = (
    Log.created_at,
    Log.type,
    Log.user_id,
    Log.quota,
    Log.prompt_tokens,
    Log.completion_tokens,
    Log.model_name,
    Log.token_name,
)


def _identified(columns: TableColumns) -> Select:
    fields = (field for field in _IDENTIFYING_FIELDS if columns.has("logs", field.column_name))
    return Log.select(Log.id, *fields)


def _row(columns: TableColumns) -> Node:
    return _identified(columns).where(Log.id == PLACEHOLDER)


def _newest_use(columns: TableColumns) -> Node:
    """Of the uses up to an id that were made before a time, the one made last."""
    # The sums keep other indexes than that on the time out of it.
    counted = (Log.type + 0).in_((LOG_CONSUME, LOG_REFUND))
    rows = _identified(columns).where(
        counted, Log.id + 0 <= PLACEHOLDER, Log.created_at < PLACEHOLDER
    )
    return rows.order_by(Log.created_at.desc()).limit(1)


def _text(row: Iterable[object]) -> str:
    return repr([value if value is None else str(value) for value in row])
