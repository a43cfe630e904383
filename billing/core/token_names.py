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
    """The names of a user's tokens by their ids, deleted ones too; or `only` one in scope.

    With `hides_others` tokens that are not among them have neither id nor name.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        only: TokenName | None = None,
        *,
        hides_others: bool = False,
    ) -> None:
        self._names, self._only, self._hides_others = names, only, hides_others
        counts = Counter(names.values())
        self._ids = {name: id for id, name in names.items() if counts[name] == 1}

    def name(self, token: int | str | None) -> TokenName:
        """Of an hour's token: its id, or its name where the gateway's logs know only names.

        A name that several of the user's tokens have, or none, has no id.
        """
        if self._only is not None:
            return self._only
        is_known = token in (self._ids if isinstance(token, str) else self._names)
        if self._hides_others and not is_known:
            return TokenName(None, None)
        if isinstance(token, str):
            id = self._ids.get(token)
            return TokenName(None if id is None else str(id), token)
        if not token:
            return TokenName(None, None)
        return TokenName(str(token), self._names.get(token))


def token_names(service: Service, user: UserRow, token: TokenRow | None) -> TokenNames:
    """What the caller may know: of its own token, or, by an access token, of all the user's.

    A key that is shown its account's figures is told its own part of them: its holder may be
    somebody else than the account's. Raises as Database.fetch does.
    """
    if token is not None and service.token_in_scope(token) is not None:
        return TokenNames({}, TokenName(str(token.id), token.name or ""))
    if token is not None:
        return TokenNames({token.id: token.name or ""}, hides_others=True)
    # one-api has no index for this: its table of tokens is read whole.
    with service.heavy_reads():
        rows = service.database.fetch(_tokens_of_user, user.id, heavy=True)
    return TokenNames({int(id): str(name or "") for id, name in rows})


def _tokens_of_user(columns: TableColumns) -> Node:
    return GatewayToken.select(GatewayToken.id, GatewayToken.name).where(
        GatewayToken.user_id == PLACEHOLDER
    )
