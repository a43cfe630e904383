"""The tables, named and typed as new-api's, and the queries that name them.

Quotas are integers of quota units, times are unix seconds UTC. NULL is possible in every column
that a gateway added later; a row class says what each NULL means.
"""

from __future__ import annotations

from typing import NamedTuple

from peewee import (
    JOIN,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    DateTimeField,
    Model,
    Select,
    TextField,
    Value,
)

from billing.db import BOUND, Handle
from billing.quota import Balance

LOG_TOPUP, LOG_CONSUME, LOG_REFUND = 1, 2, 6
ENABLED, DISABLED = 1, 2

#: Token states that may read: enabled, expired, exhausted (the last two are lazily written).
READABLE = frozenset({1, 3, 4})


class User(Model):
    """`quota` is what remains in the wallet, not the total."""

    id = BigAutoField()
    username = CharField(64, unique=True)
    status = BigIntegerField(default=ENABLED)
    access_token = CharField(64, unique=True)
    quota = BigIntegerField(default=0)
    used_quota = BigIntegerField(default=0)
    request_count = BigIntegerField(default=0)
    created_at = BigIntegerField()
    deleted_at = DateTimeField(null=True, index=True)

    class Meta:
        table_name = "users"


class Token(Model):
    """`expired_time` is -1 for never; `allow_ips` one address or network a line, '' for any."""

    id = BigAutoField()
    user_id = BigIntegerField(index=True)
    key = CharField(128, unique=True)
    status = BigIntegerField(default=ENABLED)
    name = CharField(191, default="")
    created_time = BigIntegerField()
    expired_time = BigIntegerField(default=-1)
    remain_quota = BigIntegerField(default=0)
    unlimited_quota = BooleanField(default=False)
    used_quota = BigIntegerField(default=0)
    allow_ips = TextField(default="")
    deleted_at = DateTimeField(null=True, index=True)

    class Meta:
        table_name = "tokens"


class Log(Model):
    """One credit (type 1), use (2) or refund (6); `quota` is never negative."""

    id = BigAutoField()
    user_id = BigIntegerField(index=True)
    created_at = BigIntegerField()
    type = BigIntegerField()
    content = TextField(default="")
    username = CharField(64, default="")
    token_name = CharField(191, default="")
    model_name = CharField(64, default="")
    quota = BigIntegerField(default=0)
    prompt_tokens = BigIntegerField(default=0)
    completion_tokens = BigIntegerField(default=0)
    token_id = BigIntegerField(default=0, index=True)
    request_id = CharField(64, null=True)

    class Meta:
        table_name = "logs"
        indexes = ((("type", "request_id"), True), (("created_at", "type"), False))


class QuotaData(Model):
    """What one token spent on one model in the UTC hour that begins at `created_at`."""

    id = BigAutoField()
    user_id = BigIntegerField()
    token_id = BigIntegerField()
    username = CharField(64, default="")
    model_name = CharField(64)
    created_at = BigIntegerField()
    token_used = BigIntegerField(default=0)
    count = BigIntegerField(default=0)
    quota = BigIntegerField(default=0)

    class Meta:
        table_name = "quota_data"
        indexes = (
            (("user_id", "created_at", "token_id", "model_name"), True),
            (("token_id", "created_at"), False),
        )


class UserRow(NamedTuple):
    """A user as the service reads one."""

    id: int
    status: int | None
    access_token: str | None
    quota: int | None
    used_quota: int | None
    deleted_at: object

    @property
    def enabled(self) -> bool:
        return self.status == ENABLED and self.deleted_at is None

    @property
    def balance(self) -> Balance:
        return Balance(self.quota or 0, self.used_quota or 0)


class TokenRow(NamedTuple):
    """A token as the service reads one; `user` is None when its owner's row is gone."""

    id: int
    user_id: int | None
    key: str
    status: int | None
    expired_time: int | None
    remain_quota: int | None
    used_quota: int | None
    unlimited_quota: object
    allow_ips: str | None
    deleted_at: object
    user: UserRow | None

    @property
    def balance(self) -> Balance:
        return Balance(self.remain_quota or 0, self.used_quota or 0, bool(self.unlimited_quota))


_USER = (
    User.id,
    User.status,
    User.access_token,
    User.quota,
    User.used_quota,
    User.deleted_at,
)
_TOKEN = (
    Token.id,
    Token.user_id,
    Token.key,
    Token.status,
    Token.expired_time,
    Token.remain_quota,
    Token.used_quota,
    Token.unlimited_quota,
    Token.allow_ips,
    Token.deleted_at,
)


def _where_bound(query: Select, field: object) -> Select:
    return query.where(field == Value(BOUND, converter=False))


class Reads:
    """The service's reads, compiled once for a database: building a query costs more than it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        joined = Token.select(*_TOKEN, *_USER).join(
            User, JOIN.LEFT_OUTER, on=(User.id == Token.user_id)
        )
        self._token = handle.compile(_where_bound(joined, Token.key))
        self._user = handle.compile(_where_bound(User.select(*_USER), User.id))
        self._ready = handle.compile(
            Token.select(Token.id).join(User, on=(User.id == Token.user_id)).limit(1)
        )

    def token(self, key: str) -> TokenRow | None:
        """The token with the stored `key`, and its owner, by one indexed read."""
        for row in self._handle.fetch(self._token, key):
            token, owner = row[: len(_TOKEN)], UserRow(*row[len(_TOKEN) :])
            # The outer join fills a missing owner with NULLs.
            return TokenRow._make((*token, None if owner.id is None else owner))
        return None

    def user(self, user_id: int) -> UserRow | None:
        """The user of that id, deleted or not, by primary key."""
        for row in self._handle.fetch(self._user, user_id):
            return UserRow(*row)
        return None

    def ready(self) -> None:
        """Raises what a caller's read would raise; returns when the tables can be read."""
        self._handle.fetch(self._ready)
