"""Lists a user's tokens: what each has left, what it used, and when it was last used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from peewee import SQL, Node, Select

from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import SCHEMA_TABLE, GatewayToken, QuotaData
from billing.database.queries import TokenRow, UserRow, is_true, select_existing
from billing.quota import Balance


class OwnToken(NamedTuple):
    """`last_used_at` is in unix seconds, 0 for never; of our own tables, the hour's beginning."""

    id: int
    name: str
    balance: Balance
    is_deleted: bool
    last_used_at: int


def own_tokens(service: Service, user: UserRow) -> list[OwnToken]:
    """The user's tokens, deleted ones too. Raises as Database.fetch does."""
    # one-api has no index for this: its table of tokens is read whole.
    with service.heavy_reads():
        return _rows(service.database.fetch(_of_user, user.id, heavy=True))


def last_used_at(service: Service, token: TokenRow) -> int:
    """When the token was last used, in unix seconds; 0 for never."""
    rows = _rows(service.database.fetch(_of_id, token.id))
    return rows[0].last_used_at if rows else 0


def _rows(rows: Iterable[Any]) -> list[OwnToken]:
    found = []
    for id, name, remaining, used, unlimited, deleted_at, created, last_used in rows:
        balance = Balance(int(remaining or 0), int(used or 0), is_true(unlimited))
        # Gateways write the time of its making there; one that was never used is used at no time.
        last = int(last_used or 0) if (last_used or 0) > (created or 0) else 0
        found.append(OwnToken(int(id), str(name or ""), balance, deleted_at is not None, last))
    return found


def _tokens(columns: TableColumns) -> Select:
    fields = (
        *(GatewayToken.id, GatewayToken.name, GatewayToken.remain_quota, GatewayToken.used_quota),
        *(GatewayToken.unlimited_quota, GatewayToken.deleted_at),
    )
    if not columns.columns[SCHEMA_TABLE]:
        times = select_existing(columns, (GatewayToken.created_time, GatewayToken.accessed_time))
        return GatewayToken.select(*select_existing(columns, fields), *times)
    # One seek in an index for each token: MAX would read all hours of it on MySQL.
    hours: Any = QuotaData.select(QuotaData.created_at).where(QuotaData.token_id == GatewayToken.id)
    last = hours.order_by(QuotaData.created_at.desc()).limit(1)
    return GatewayToken.select(*fields, SQL("NULL"), last)


def _of_user(columns: TableColumns) -> Node:
    return _tokens(columns).where(GatewayToken.user_id == PLACEHOLDER)


def _of_id(columns: TableColumns) -> Node:
    return _tokens(columns).where(GatewayToken.id == PLACEHOLDER)
