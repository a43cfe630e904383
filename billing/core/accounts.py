"""What operators do to users and tokens, each in one transaction.

The models must be bound to a database. A transaction may run twice, when its connection is lost
around the COMMIT: each finds what it has done already.
"""

from __future__ import annotations

import datetime
import functools
import secrets
import string
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import peewee

from billing.core.credentials import digest
from billing.database.models import DISABLED, ENABLED, LOG_TOPUP, Log, Token, User
from billing.database.transactions import new_request_id, run_in_transaction
from billing.errors import CommandError
from billing.quota import MAX_STORED, Balance, has_expired, spendable

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row", User, Token)

_ALPHANUMERIC = string.ascii_letters + string.digits


def _retried_transaction(work: Callable[P, T]) -> Callable[P, T]:
    """Run `work` in one transaction of the models' database, as `run_in_transaction` does."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_in_transaction(User._meta.database, lambda: work(*args, **kwargs))

    return run


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


def users_not_deleted() -> list[User]:
    """Users by id."""
    return list(User.select().where(User.deleted_at.is_null()).order_by(User.id))


def tokens_not_revoked(user_name: str | None = None) -> list[Token]:
    """Tokens by id, of one user if named. Raises CommandError when there is no such user."""
    query = Token.select().where(Token.deleted_at.is_null()).order_by(Token.id)
    if user_name is not None:
        query = query.where(Token.user_id == user_named(user_name).id)
    return list(query)


def spendable_by_token(tokens: list[Token]) -> dict[int, int]:
    """What each token can really spend, in quota units: its own quota, or less in its wallet.

    Of those that work: not of one that is switched off or has expired, or whose user is.
    """
    wallets, now = spendable_by_user(users_not_deleted()), int(time.time())
    return {
        token.id: spendable(
            Balance(token.remain_quota, token.used_quota, token.unlimited_quota),
            Balance(wallets[token.user_id], 0),
        ).remaining
        for token in tokens
        if token.status == ENABLED
        and token.user_id in wallets
        and not has_expired(token.expired_time, now)
    }


def spendable_by_user(users: list[User]) -> dict[int, int]:
    """The wallets of those users that are not switched off, in quota units."""
    return {user.id: user.quota for user in users if user.status == ENABLED}


def add_user(name: str, quota: int) -> tuple[User, str]:
    """The new user and its access token, which is stored nowhere in clear."""
    access_token = _secret(32)
    return _add_user(name, quota, access_token), access_token


@_retried_transaction
def _add_user(name: str, quota: int, access_token: str) -> User:
    if added := User.get_or_none(User.access_token == digest(access_token)):
        return added
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


def credit_user(name: str, quota: int) -> User:
    """More for the user's wallet, in quota units."""
    return _credit_user(name, quota, new_request_id())


@_retried_transaction
def _credit_user(name: str, quota: int, request_id: str) -> User:
    user = user_named(name)
    if not _is_credited(request_id):
        _add_quota(user, User.quota, quota)
        _log_credit(user, quota, request_id=request_id)
    return user_named(name)


@_retried_transaction
def set_user_status(name: str, enabled: bool) -> User:
    user = user_named(name)
    User.update(status=ENABLED if enabled else DISABLED).where(User.id == user.id).execute()
    return user_named(name)


def delete_user(name: str) -> User:
    """Soft: the row stays, nothing of the user's authenticates, the name stays taken."""
    return _delete(lambda: user_named(name))


def new_access_token(name: str) -> tuple[User, str]:
    """The user and its new access token; the old one ends."""
    access_token = _secret(32)
    return _replace_access_token(name, access_token), access_token


@_retried_transaction
def _replace_access_token(name: str, access_token: str) -> User:
    user = user_named(name)
    User.update(access_token=digest(access_token)).where(User.id == user.id).execute()
    return user


def add_token(
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
    columns: dict[str, object] = {
        "key": digest(key),
        "name": name,
        "created_time": int(time.time()),
        "expired_time": expired_time,
        "remain_quota": quota,
        "unlimited_quota": unlimited,
        "allow_ips": allow_ips,
    }
    return _add_token(user_name, quota, columns), key


@_retried_transaction
def _add_token(user_name: str, quota: int, columns: dict[str, object]) -> Token:
    if added := Token.get_or_none(Token.key == columns["key"]):
        return added
    user = user_named(user_name)
    token = Token.create(user_id=user.id, **columns)
    _log_credit(user, quota, token)
    return token


@_retried_transaction
def edit_token(token_id: int, changes: dict[str, object]) -> Token:
    """`changes` by column name."""
    token_of(token_id)
    if changes:
        Token.update(changes).where(Token.id == token_id).execute()
    return token_of(token_id)


def credit_token(token_id: int, quota: int) -> Token:
    """More for the token's own cap, in quota units; the user's wallet is left alone."""
    return _credit_token(token_id, quota, new_request_id())


@_retried_transaction
def _credit_token(token_id: int, quota: int, request_id: str) -> Token:
    token = token_of(token_id)
    if not _is_credited(request_id):
        _add_quota(token, Token.remain_quota, quota)
        _log_credit(User.get_by_id(token.user_id), quota, token, request_id)
    return token_of(token_id)


def revoke_token(token_id: int) -> Token:
    """Soft: the row stays, the key never authenticates again."""
    return _delete(lambda: token_of(token_id))


def _delete(find: Callable[[], Row]) -> Row:
    """Mark the row as deleted. A repeated transaction goes on with the row that it found before."""
    row: Row | None = None

    @_retried_transaction
    def mark_deleted() -> Row:
        nonlocal row
        row = row or find()
        model = type(row)
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        model.update(deleted_at=now).where(model.id == row.id).execute()
        return row

    return mark_deleted()


def _add_quota(row: User | Token, field: peewee.Field, quota: int) -> None:
    if not quota:
        raise CommandError("that is less than one quota unit: nothing to credit")
    model = type(row)
    room = field <= MAX_STORED - quota
    if not model.update({field: field + quota}).where(model.id == row.id, room).execute():
        raise CommandError("that would be more quota than a balance can hold")


def _is_credited(request_id: str) -> bool:
    return Log.select().where(Log.type == LOG_TOPUP, Log.request_id == request_id).exists()


def _log_credit(
    user: User, quota: int, token: Token | None = None, request_id: str | None = None
) -> None:
    """Write the row from which `credit_grants` reads the credit; none for a quota of 0."""
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
