"""The names of a caller's user and token, and the scope of its figures."""

from __future__ import annotations

from typing import NamedTuple

from peewee import Node

from billing.core.own_tokens import last_used_at
from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import GatewayUser
from billing.database.queries import TokenRow, UserRow


class CallerNames(NamedTuple):
    """`scope` is `token`, `account`, or `spendable`.

    `token` is None for an access token. `user` is None for a key: keys are given to other people.
    `last_used_at` (unix seconds, 0 for never) is the token's; None for an access token.
    """

    scope: str
    user: str | None
    token: str | None
    last_used_at: int | None


def caller_names(service: Service, user: UserRow, token: TokenRow | None) -> CallerNames:
    """Raises as Database.fetch does."""
    if token is None:
        rows = service.database.fetch(_name_of_user, user.id)
        return CallerNames("account", next((str(name or "") for (name,) in rows), ""), None, None)
    scope: str = service.settings.billing_scope
    if scope == "token" and service.token_in_scope(token) is None:
        scope = "account"
    return CallerNames(scope, None, token.name or "", last_used_at(service, token))


def _name_of_user(columns: TableColumns) -> Node:
    return GatewayUser.select(GatewayUser.username).where(GatewayUser.id == PLACEHOLDER)
