"""Ids and names of the tokens that usage rows belong to; never their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from billing.core.own_tokens import own_tokens
from billing.core.service import Service
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
    """The token ids and names that the caller may see. Raises as Database.fetch does.

    An access token sees those of all the user's tokens. A key sees its own alone, in account scope
    too: keys are given to other people.
    """
    if token is not None and service.token_in_scope(token) is not None:
        return TokenNames({}, TokenName(str(token.id), token.name or ""))
    if token is not None:
        return TokenNames({token.id: token.name or ""}, hides_others=True)
    return TokenNames({each.id: each.name for each in own_tokens(service, user)})
