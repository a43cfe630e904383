"""What operators do to users and tokens, each in one transaction.

A transaction may run twice, when its connection is lost around the COMMIT: each finds what it
has done already.
"""

from __future__ import annotations

import datetime
import secrets
import string
import time

import peewee

from billing.core.service import digest
from billing.database.connection import new_id, transact
from billing.database.models import DISABLED, ENABLED, LOG_TOPUP, Log, Token, User
from billing.errors import CommandError
from billing.quota import MAX_STORED

_ALPHANUMERIC = string.ascii_letters + string.digits


def _secret(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def user_named(name: str) -> User:
    """Raises CommandError when there is none; deleted users count as none."""
    user = User.get_or_none(User.username == name, User.deleted_at.is_null())
    if user is None:
        raise CommandError(f"no user named {name!r}: `flask user list` shows them")
    return user


def token_of(token_id: int) -> Token:
    """Raises CommandError when there is none; revoked tokens count as none."""
    token = Token.get_or_none(Token.id == token_id, Token.deleted_at.is_null())
    if token is None:
        raise CommandError(f"no token {token_id}: `flask token list` shows them")
    return token


def add_user(database: peewee.Database, name: str, quota: int) -> tuple[User, str]:
    """The new user and its access token, which is stored nowhere in clear."""
    access_token = _secret(32)

    def add() -> User:
        if done := User.get_or_none(User.access_token == digest(access_token)):
            return done
        if User.select().where(User.username == name).exists():
            raise CommandError(f"there is a user named {name!r} already, perhaps deleted")
        user = User.create(
            username=name,
            access_token=digest(access_token),
            quota=quota,
            created_at=int(time.time()),
        )
        _log_credit(user, quota)
        return user

    return transact(database, add), access_token


def credit_user(database: peewee.Database, name: str, quota: int) -> User:
    request_id = new_id()

    def credit() -> User:
        user = user_named(name)
        if not _credited(request_id):
            _add(user, User.quota, quota)
            _log_credit(user, quota, request_id=request_id)
        return user_named(name)

    return transact(database, credit)


def set_user_status(database: peewee.Database, name: str, enabled: bool) -> User:
    def change() -> User:
        user = user_named(name)
        User.update(status=ENABLED if enabled else DISABLED).where(User.id == user.id).execute()
        return user_named(name)

    return transact(database, change)


def delete_user(database: peewee.Database, name: str) -> User:
    """Soft: the row stays, nothing of the user's authenticates, the name stays taken."""

    user = user_named(name)

    def delete() -> User:
        User.update(deleted_at=_now()).where(User.id == user.id).execute()
        return user

    return transact(database, delete)


def new_access_token(database: peewee.Database, name: str) -> tuple[User, str]:
    """The user and its new access token; the old one ends."""
    access_token = _secret(32)

    def change() -> User:
        user = user_named(name)
        User.update(access_token=digest(access_token)).where(User.id == user.id).execute()
        return user

    return transact(database, change), access_token


def add_token(
    database: peewee.Database,
    user_name: str,
    *,
    name: str,
    quota: int,
    unlimited: bool,
    expired_time: int,
    allow_ips: str,
) -> tuple[Token, str]:
    """The new token and its key without `sk-`, which is stored nowhere in clear."""
    key = _secret(48)

    def add() -> Token:
        if done := Token.get_or_none(Token.key == digest(key)):
            return done
        user = user_named(user_name)
        token = Token.create(
            user_id=user.id,
            key=digest(key),
            name=name,
            created_time=int(time.time()),
            expired_time=expired_time,
            remain_quota=quota,
            unlimited_quota=unlimited,
            allow_ips=allow_ips,
        )
        _log_credit(user, quota, token)
        return token

    return transact(database, add), key


def edit_token(database: peewee.Database, token_id: int, changes: dict[str, object]) -> Token:
    """`changes` by column name."""

    def edit() -> Token:
        token_of(token_id)
        if changes:
            Token.update(changes).where(Token.id == token_id).execute()
        return token_of(token_id)

    return transact(database, edit)


def credit_token(database: peewee.Database, token_id: int, quota: int) -> Token:
    """More for the token's own cap; the user's wallet is left alone."""

    request_id = new_id()

    def credit() -> Token:
        token = token_of(token_id)
        if not _credited(request_id):
            _add(token, Token.remain_quota, quota)
            _log_credit(User.get_by_id(token.user_id), quota, token, request_id)
        return token_of(token_id)

    return transact(database, credit)


def revoke_token(database: peewee.Database, token_id: int) -> Token:
    """Soft: the row stays, the key never authenticates again."""

    token = token_of(token_id)

    def revoke() -> Token:
        Token.update(deleted_at=_now()).where(Token.id == token_id).execute()
        return token

    return transact(database, revoke)


def _add(row: User | Token, field: peewee.Field, quota: int) -> None:
    model = type(row)
    room = field <= MAX_STORED - quota
    if not model.update({field: field + quota}).where(model.id == row.id, room).execute():
        raise CommandError("that would be more quota than a balance can hold")


def _credited(request_id: str) -> bool:
    return Log.select().where(Log.type == LOG_TOPUP, Log.request_id == request_id).exists()


def _log_credit(
    user: User, quota: int, token: Token | None = None, request_id: str | None = None
) -> None:
    """Grants are read from these rows."""
    if quota:
        Log.create(
            user_id=user.id,
            username=user.username,
            created_at=int(time.time()),
            type=LOG_TOPUP,
            quota=quota,
            token_id=token.id if token else 0,
            token_name=token.name if token else "",
            request_id=request_id,
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
