"""What brings our own tables from one schema version to the next.

Whoever applies one has a connected database, to which the models are bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import peewee

from billing.database.columns import PLACEHOLDER
from billing.database.dialects.base import Dialect
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log, QuotaData
from billing.database.transactions import execute_many

_HOUR = 3600


class Migration(NamedTuple):
    """A change of the tables, from the version before `version` to it.

    `apply` may run twice: where DDL is not transactional (MySQL), a process that is killed half way
    leaves a part of it done.
    """

    version: int
    description: str
    apply: Callable[[Dialect], None]


def add_column(database: Dialect, field: peewee.Field[Any]) -> None:
    """Add the column of a model's field to its table, unless it is there; for migrations.

    Rows that exist get the DEFAULT of the field's `constraints`.
    """
    meta = field.model._meta
    if field.column_name in {column.name for column in database.get_columns(meta.table_name)}:
        return
    context = database.get_sql_context()
    context.literal("ALTER TABLE ").sql(peewee.Entity(meta.table_name))
    context.literal(" ADD COLUMN ").sql(field.ddl(context))
    database.execute_sql(*context.query())


def add_index(database: Dialect, model: type[peewee.Model], index: Any) -> None:
    """Make a `peewee.ModelIndex` of a table, unless it is there; for migrations."""
    known = {known.name for known in database.get_indexes(model._meta.table_name)}
    if index._name not in known:
        database.execute(index.safe(False))


def drop_index(database: Dialect, model: type[peewee.Model], name: str) -> None:
    """Drop the index of that name, if it is there; for migrations."""
    table = model._meta.table_name
    if name in {known.name for known in database.get_indexes(table)}:
        database.execute_sql(database.drop_index_sql(table, name))


def _add_tokens_to_hours(database: Dialect) -> None:
    """Hours get prompt tokens, completion tokens and refunds, which the logs know."""
    for field in (QuotaData.prompt_tokens, QuotaData.completion_tokens, QuotaData.refunded):
        add_column(database, field)
    _sum_logs_into_hours(database)
    for index in QuotaData._meta.fields_to_index():
        add_index(database, QuotaData, index)
    for owner in ("token_id", "user_id"):
        drop_index(database, QuotaData, f"quotadata_{owner}_created_at_model_name_quota")


def _sum_logs_into_hours(database: Dialect) -> None:
    """Hour by hour, so that few rows are held at once. Sums are set, so that it may run twice."""
    key = (QuotaData.user_id, QuotaData.token_id, QuotaData.model_name, QuotaData.created_at)
    of_hour = tuple(field == PLACEHOLDER for field in key)
    # Hours whose logs were deleted, or are not whole, keep NULL.
    is_whole = (QuotaData.token_used == PLACEHOLDER, QuotaData.count == PLACEHOLDER)
    tokens = QuotaData.update(
        {QuotaData.prompt_tokens: PLACEHOLDER, QuotaData.completion_tokens: PLACEHOLDER}
    ).where(*of_hour, *is_whole)
    refunds = QuotaData.update({QuotaData.refunded: PLACEHOLDER}).where(*of_hour)
    is_refund = Log.type == LOG_REFUND

    def net(field: Any) -> peewee.Node:
        return peewee.fn.SUM(peewee.Case(None, ((is_refund, 0 - field),), field))

    hours: Any = QuotaData.select(QuotaData.created_at).distinct().tuples()
    for (start,) in list(hours):
        owner = (Log.user_id, Log.token_id, Log.model_name)
        rows: Any = (
            Log.select(
                net(Log.prompt_tokens),
                net(Log.completion_tokens),
                peewee.fn.SUM(peewee.Case(None, ((is_refund, Log.quota),), 0)),
                peewee.fn.SUM(peewee.Case(None, ((is_refund, 0),), 1)),
                *owner,
            )
            .where(
                Log.created_at >= start,
                Log.created_at < start + _HOUR,
                Log.type.in_((LOG_CONSUME, LOG_REFUND)),
            )
            .group_by(*owner)
            .tuples()
        )
        found = [
            (int(prompt), int(completion), int(refunded), int(uses), (*names, start))
            for prompt, completion, refunded, uses, *names in rows
        ]
        execute_many(
            database,
            tokens,
            (
                (prompt, completion, *row, prompt + completion, uses)
                for prompt, completion, _, uses, row in found
            ),
        )
        execute_many(
            database,
            refunds,
            ((refunded, *row) for _, _, refunded, _, row in found if refunded),
        )


#: In order, without gaps. Models are always as the last one leaves the tables.
MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "add tokens and refunds to hours", _add_tokens_to_hours),
)
