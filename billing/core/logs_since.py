"""Since when a gateway's logs are complete: administrators delete old rows.

Times are unix seconds (docs/gateways.md section 4).
"""

from __future__ import annotations

import time

from peewee import Node, fn

from billing.core.log_slices import LogRow
from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.connection import Database
from billing.database.models import GatewayToken, GatewayUser, Log
from billing.database.queries import TokenRow, UserRow


def logs_since(
    service: Service, oldest: LogRow | None, user: UserRow, token: TokenRow | None
) -> int:
    """The second since when the logs hold every use of the caller; 0 for always.

    `oldest` is their oldest row: whether older ones were deleted no column says, and ids begin at 1
    again in a table of SQLite that was emptied. A caller who used nothing, or whose token or user
    was made later, has no older rows.
    """
    if not user.wallet.used:
        return 0
    since = oldest.created_at if oldest else int(time.time())
    return 0 if _created_at(service, user, token) >= since else since


def lacks_older_rows(database: Database, oldest: LogRow) -> bool:
    """Whether ids before the oldest row's are missing, because rows were deleted."""
    ((count,),) = database.fetch(_count_before, oldest.id, heavy=True)
    return int(count) < oldest.id - 1


def _created_at(service: Service, user: UserRow, token: TokenRow | None) -> int:
    """When the token, or without one the user, was made; 0 where the gateway does not say."""
    database, columns = service.database, service.database.table_columns()
    if token is not None:
        query, id, is_known = _token_created, token.id, columns.has("tokens", "created_time")
    else:
        query, id, is_known = _user_created, user.id, columns.has("users", "created_at")
    rows = database.fetch(query, id) if is_known else []
    return int(rows[0][0] or 0) if rows else 0


def _count_before(columns: TableColumns) -> Node:
    return Log.select(fn.COUNT(Log.id)).where(Log.id < PLACEHOLDER)


def _token_created(columns: TableColumns) -> Node:
    return GatewayToken.select(GatewayToken.created_time).where(GatewayToken.id == PLACEHOLDER)


def _user_created(columns: TableColumns) -> Node:
    return GatewayUser.select(GatewayUser.created_at).where(GatewayUser.id == PLACEHOLDER)
