"""The queries behind core/hours.py: sums of `quota_data` and of `logs` by span, token and model.

Their values, in order: where the first span begins, the seconds of a span, the owner's, and the
start and the end of the period.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from peewee import SQL, Case, Field, Node, Select, fn

from billing.database.columns import PLACEHOLDER, QueryBuilder, TableColumns
from billing.database.models import LOG_CONSUME, LOG_REFUND, SCHEMA_TABLE, Log, QuotaData


@cache
def sums_query(owner: Field[Any], by_token: bool) -> QueryBuilder:
    """Rows of `quota_data`, ours or new-api's.

    Each has the number of the span, token, model, net quota, refunds, both kinds of tokens and
    requests.
    """

    def build(columns: TableColumns) -> Node:
        model_name: Node = QuotaData.model_name
        sums: list[Node] = [SQL("0"), SQL("NULL"), SQL("NULL")]
        if columns.columns[SCHEMA_TABLE]:
            tokens = (QuotaData.prompt_tokens, QuotaData.completion_tokens)
            sums = [fn.SUM(QuotaData.refunded), *map(_known_sum, tokens)]
        else:
            # A gateway's collation may take GPT-4o for gpt-4o; that of our own tables does not.
            model_name = columns.dialect.case_sensitive(fn.COALESCE(model_name, ""))
        rows: Select = QuotaData.select(
            columns.dialect.span_of(QuotaData.created_at),
            QuotaData.token_id if by_token else SQL("NULL"),
            model_name,
            fn.SUM(QuotaData.quota),
            *sums,
            fn.COALESCE(fn.SUM(QuotaData.count), 0),
        )
        rows = _within(rows, (owner,), QuotaData.created_at)
        return rows.group_by(SQL("1"), SQL("3"), *([SQL("2")] if by_token else []))

    return build


def _known_sum(field: Field[Any]) -> Node:
    """The sum, NULL when one of the values is."""
    return Case(None, ((fn.COUNT(field) == fn.COUNT(SQL("1")), fn.SUM(field)),))


@cache
def logs_query(owner: tuple[Field[Any], ...], by_token: bool, bounded: bool) -> QueryBuilder:
    """Rows of `logs` whose `owner` columns have given values, `bounded` by a first and a last id.

    Each has the number of the span, token, model, type, quota, both kinds of tokens and how many
    rows these are. A second owner's value follows the period again, and then the ids.
    """

    def build(columns: TableColumns) -> Node:
        dialect, has_ids = columns.dialect, columns.has("logs", "token_id")
        # Only new-api, whose logs name the token, writes refunds.
        types = (LOG_CONSUME, LOG_REFUND) if has_ids else (LOG_CONSUME,)
        token: Node = SQL("NULL")
        if by_token and has_ids:
            token = fn.COALESCE(Log.token_id, 0)
        elif by_token:
            token = dialect.space_sensitive(fn.COALESCE(Log.token_name, ""))

        def tokens(field: Field[Any]) -> Node:
            exists = columns.has("logs", field.column_name)
            return fn.COALESCE(fn.SUM(field), 0) if exists else SQL("NULL")

        rows: Select = Log.select(
            dialect.span_of(Log.created_at),
            token,
            dialect.case_sensitive(fn.COALESCE(Log.model_name, "")),
            Log.type,
            fn.COALESCE(fn.SUM(Log.quota), 0),
            tokens(Log.prompt_tokens),
            tokens(Log.completion_tokens),
            fn.COUNT(SQL("1")),
        )
        rows = _within(rows, owner, Log.created_at).where(Log.type.in_(types))
        if len(owner) > 1:
            # Compared twice: the first comparison uses the index, this one is exact on MySQL too.
            rows = rows.where(dialect.space_sensitive(Log.token_name) == PLACEHOLDER)
        if bounded:
            rows = rows.where(Log.id >= PLACEHOLDER, Log.id <= PLACEHOLDER)
        return rows.group_by(SQL("1"), SQL("3"), SQL("4"), *([SQL("2")] if by_token else []))

    return build


def _within(rows: Select, owner: Iterable[Field[Any]], created_at: Field[Any]) -> Select:
    """The rows of an owner and a period."""
    inside = (created_at >= PLACEHOLDER, created_at < PLACEHOLDER)
    return rows.where(*(field == PLACEHOLDER for field in owner), *inside)


def first_hour(columns: TableColumns) -> Node:
    return QuotaData.select(fn.MIN(QuotaData.created_at))


def last_log(columns: TableColumns) -> Node:
    return Log.select(fn.MAX(Log.created_at))


def log_id_range(columns: TableColumns) -> Node:
    inside = (Log.created_at >= PLACEHOLDER, Log.created_at < PLACEHOLDER)
    return Log.select(fn.MIN(Log.id), fn.MAX(Log.id)).where(*inside)
