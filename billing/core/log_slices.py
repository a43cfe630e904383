"""Reads a gateway's logs by ranges of ids: what a user used, and which ids a day has.

Gateways insert a row with the next id, and never change one; `created_at` is when a row was made,
which may be long before it was written (docs/gateways.md section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from peewee import SQL, Case, Field, Node, Select, fn

from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.connection import Database
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log
from billing.database.usage_file import Cell, Mark

#: What times of cells are multiples of: every zone's midnight is one.
CELL_SECONDS = 900

DAY = 86400

#: Above every id.
LAST_ID = 2**63 - 1

#: A day's rows are looked at in parts, each of which holds a read lock for a short time.
_PART_SECONDS = DAY // 4

#: A row that says it was made later than this many seconds after now is nobody's use of today.
_FUTURE_SECONDS = DAY


class LogRow(NamedTuple):
    """A row of the logs, and when it was made."""

    id: int
    created_at: int


def oldest_row(database: Database) -> LogRow | None:
    """The oldest use or refund in the logs, of anybody; None when there is none."""
    rows = database.fetch(_oldest_row, heavy=True)
    return LogRow(*map(int, rows[0])) if rows else None


def cells(database: Database, user_id: int, low: int, high: int) -> list[Cell]:
    """What a user used by the rows with ids above `low` up to `high`."""
    rows = database.fetch(_cells_query, 0, CELL_SECONDS, user_id, low, high, heavy=True)
    return [
        Cell(int(time) * CELL_SECONDS, _token(token), model, *map(int, sums))
        for time, token, model, *sums in rows
    ]


def _token(value: int | str | bytes) -> int | str:
    """A token's id or name; names that are compared to the byte come as bytes from MySQL."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _cells_query(columns: TableColumns) -> Node:
    quota = fn.COALESCE(Log.quota, 0)
    has_token_id = columns.has("logs", "token_id")
    token: Node = fn.COALESCE(Log.token_id, 0)
    if not has_token_id:
        # The logs of one-api, one-hub and done-hub know a token by its name alone.
        token = columns.dialect.space_sensitive(fn.COALESCE(Log.token_name, ""))
    # Only new-api, whose logs name the token, writes refunds.
    types = (LOG_CONSUME, LOG_REFUND) if has_token_id else (LOG_CONSUME,)

    def used(value: Node | int, refunded: Node | int = 0) -> Node:
        return fn.SUM(Case(Log.type, ((LOG_REFUND, refunded),), value))

    def tokens(field: Field[Any]) -> Node:
        if not columns.has("logs", field.column_name):
            return SQL("0")
        value = fn.COALESCE(field, 0)
        return used(value, 0 - value)

    rows = Log.select(
        columns.dialect.span_of(Log.created_at),
        token,
        columns.dialect.case_sensitive(fn.COALESCE(Log.model_name, "")),
        used(quota, 0 - quota),
        used(0, quota),
        tokens(Log.prompt_tokens),
        tokens(Log.completion_tokens),
        used(1),
    )
    inside = (Log.id > PLACEHOLDER, Log.id <= PLACEHOLDER, Log.created_at >= 0)
    rows = rows.where(Log.user_id == PLACEHOLDER, *inside, Log.type.in_(types))
    return rows.group_by(SQL("1"), SQL("2"), SQL("3"))


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


def first_id_of_day(database: Database, day: int) -> int:
    """The first id of a day (a number since 1970); LAST_ID when it has no row."""
    parts = range(day * DAY, (day + 1) * DAY, _PART_SECONDS)
    found = (database.fetch(_first_id, part, part + _PART_SECONDS, heavy=True) for part in parts)
    return min(LAST_ID if id is None else int(id) for ((id,),) in found)


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
_TOLD_BY: tuple[Field[Any], ...] = (
    Log.created_at,
    Log.type,
    Log.user_id,
    Log.quota,
    Log.prompt_tokens,
    Log.completion_tokens,
    Log.model_name,
    Log.token_name,
)


def _told(columns: TableColumns) -> Select:
    fields = (field for field in _TOLD_BY if columns.has("logs", field.column_name))
    return Log.select(Log.id, *fields)


def _row(columns: TableColumns) -> Node:
    return _told(columns).where(Log.id == PLACEHOLDER)


def _newest_use(columns: TableColumns) -> Node:
    """Of the uses up to an id that were made before a time, the one made last."""
    # The sums keep other indexes than that on the time out of it.
    counted = (Log.type + 0).in_((LOG_CONSUME, LOG_REFUND))
    rows = _told(columns).where(counted, Log.id + 0 <= PLACEHOLDER, Log.created_at < PLACEHOLDER)
    return rows.order_by(Log.created_at.desc()).limit(1)


def _text(row: Iterable[object]) -> str:
    return repr([value if value is None else str(value) for value in row])
