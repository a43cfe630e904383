"""Since when a gateway's logs are complete: operators delete old rows, whose days nobody knows.

Quota units throughout; times are unix seconds (docs/gateways.md section 4).
"""

from __future__ import annotations

import time

from peewee import Node, fn

from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.connection import Database
from billing.database.models import LOG_CONSUME, GatewayToken, GatewayUser, Log
from billing.database.queries import TokenRow, UserRow


def first_use(database: Database) -> tuple[int, int] | None:
    """Id and second of the oldest use in the logs, of anybody; None when there is none."""
    rows = database.fetch(_first_use, LOG_CONSUME, heavy=True)
    return (int(rows[0][0]), int(rows[0][1])) if rows else None


def logs_since(
    service: Service,
    database: Database,
    first: tuple[int, int] | None,
    user: UserRow,
    token: TokenRow | None,
) -> int:
    """The second since when the logs in `database` hold every use of the caller; 0 for always.

    `first` is their first use. Rows were deleted before it when ids are missing there, or when the
    user's counter says more than empty logs. A token or user that is newer lost none.
    """
    if not user.wallet.used:
        return 0
    if first is None:
        since = int(time.time())
    else:
        id, since = first
        if not lacks_rows_before(database, id):
            return 0
    return 0 if _created_at(service, user, token) >= since else since


def lacks_rows_before(database: Database, id: int) -> bool:
    """Whether ids below `id` are missing in the logs: such rows were deleted, or never written."""
    ((count,),) = database.fetch(_count_below, id, heavy=True)
    return int(count) < id - 1


def _created_at(service: Service, user: UserRow, token: TokenRow | None) -> int:
    """When the token, or without one the user, was made; 0 where the gateway does not say."""
    database, columns = service.database, service.database.table_columns()
    if token is not None:
        query, id, is_known = _token_created, token.id, columns.has("tokens", "created_time")
    else:
        query, id, is_known = _user_created, user.id, columns.has("users", "created_at")
    rows = database.fetch(query, id) if is_known else []
    return int(rows[0][0] or 0) if rows else 0


def _first_use(columns: TableColumns) -> Node:
    # The sum keeps an index on the type alone out of it, which would have all uses sorted.
    uses = Log.select(Log.id, Log.created_at).where((Log.type + 0) == PLACEHOLDER)
    return uses.where(Log.created_at > 0).order_by(Log.created_at).limit(1)


def _count_below(columns: TableColumns) -> Node:
    return Log.select(fn.COUNT(Log.id)).where(Log.id < PLACEHOLDER)


def _token_created(columns: TableColumns) -> Node:
    return GatewayToken.select(GatewayToken.created_time).where(GatewayToken.id == PLACEHOLDER)


def _user_created(columns: TableColumns) -> Node:
    return GatewayUser.select(GatewayUser.created_at).where(GatewayUser.id == PLACEHOLDER)
