"""The before_request hook: headers to g.caller, or an error (docs/contract.md section 3)."""

from __future__ import annotations

import re
from typing import NamedTuple

from flask import g, request

from billing.core.credentials import find_token, find_user, strip_bearer
from billing.core.service import current_service
from billing.database.models import READABLE_STATUSES
from billing.database.queries import TokenRow, UserRow
from billing.errors import (
    APIKeyDisabled,
    InvalidAPIKey,
    IPNotAllowed,
    MissingAPIKey,
    UserDisabled,
    UserMismatch,
)
from billing.web.allow_list import allows

_USER_ID = re.compile("[0-9]{1,18}", re.ASCII)


class Caller(NamedTuple):
    """Who the request speaks for; `token` is None for a user's access token."""

    user: UserRow
    token: TokenRow | None


def authenticate() -> None:
    """Set g.caller. Raises the first error of the contract's table that applies."""
    # The headers as WSGI has them: `request` and its headers cost 1 µs at each use.
    environ = request.environ
    if environ["REQUEST_METHOD"] == "OPTIONS":
        return
    # Servers join repeated headers with a comma: the first counts.
    secret = strip_bearer(environ.get("HTTP_AUTHORIZATION", "").partition(",")[0])
    if not secret:
        raise MissingAPIKey
    user_id = strip_bearer(environ.get("HTTP_NEW_API_USER", ""))
    g.caller = _find_caller(secret, user_id, environ.get("REMOTE_ADDR") or "")


def _find_caller(secret: str, user_id: str, address: str) -> Caller:
    service = current_service()
    service.start_request()
    token = find_token(service, secret)
    if token and token.deleted_at is None:
        return _check_token(token, user_id, service.settings.require_new_api_user, address)
    if _USER_ID.fullmatch(user_id) and (user := find_user(service, int(user_id), secret)):
        if not user.enabled:
            raise UserDisabled
        return Caller(user, None)
    raise InvalidAPIKey


def _check_token(token: TokenRow, user_id: str, user_id_required: bool, address: str) -> Caller:
    if token.status not in READABLE_STATUSES:
        raise APIKeyDisabled
    named = int(user_id) if _USER_ID.fullmatch(user_id) else None
    if (user_id or user_id_required) and named != token.user_id:
        raise UserMismatch
    if token.user is None or not token.user.enabled:
        raise UserDisabled
    if not allows(token, address):
        raise IPNotAllowed
    return Caller(token.user, token)
