"""Tells which of a user's tokens used something, by id and name: its key is nobody's business."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from peewee import Node

from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import GatewayToken
from billing.database.queries import TokenRow, UserRow


class TokenName(NamedTuple):
    """A token's id and name, each None where it is not known."""

    id: str | None
    name: str | None


class TokenNames:
    """The names of a user's tokens by their ids, deleted ones too; or `only` one in scope."""

    def __init__(self, names: Mapping[int, str], only: TokenName | None = None) -> None:
        self._names, self._only = names, only
        counts = Counter(names.values())
        self._ids = {name: id for id, name in names.items() if counts[name] == 1}

    def name(self, token: int | str | None) -> TokenName:
        """Of an hour's token: its id, or its name where the gateway's logs know only names.

        A name that several of the user's tokens have, or none, has no id.
        """
        if self._only is not None:
            return self._only
        if isinstance(token, str):
            id = self._ids.get(token)
            return TokenName(None if id is None else str(id), token)
        if not token:
            return TokenName(None, None)
        return TokenName(str(token), self._names.get(token))


def token_names(service: Service, user: UserRow, token: TokenRow | None) -> TokenNames:
    """Those of the user's tokens, or of the token in scope. Raises as Database.fetch does."""
    if token is not None:
        return TokenNames({}, TokenName(str(token.id), token.name or ""))
    # one-api has no index for this: its table of tokens is read whole.
    with service.heavy_reads():
        rows = service.database.fetch(_tokens_of_user, user.id, heavy=True)
    return TokenNames({int(id): str(name or "") for id, name in rows})


def _tokens_of_user(columns: TableColumns) -> Node:
    return GatewayToken.select(GatewayToken.id, GatewayToken.name).where(
        GatewayToken.user_id == PLACEHOLDER
    )
