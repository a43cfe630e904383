"""The service's queries, which name only columns that exist, and the rows that they return.

NULL is possible in every column that a gateway added later; the rows say what each means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from peewee import JOIN, SQL, Field, Node, Query, Select, fn

from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.connection import Database
from billing.database.models import (
    ALLOW_LIST_LENGTH,
    ALLOW_LIST_NETWORKS,
    ENABLED,
    SCHEMA_TABLE,
    GatewayToken,
    GatewayUser,
    Option,
    UserSubscription,
)
from billing.errors import DatabaseMisconfigured
from billing.quota import Balance

#: The tables whose columns are looked up.
TABLES = (
    "users",
    "tokens",
    "options",
    "logs",
    "quota_data",
    "user_subscriptions",
    "subscription_plans",
    "redemptions",
    "top_ups",
    "statistics",
    "user_groups",
    "invite_codes",
    SCHEMA_TABLE,
)

#: Those of them that `flask init` makes.
_EMBEDDED_TABLES = ("users", "tokens", "logs", "quota_data", SCHEMA_TABLE)


#: The most keys that one read looks for.
MAX_KEYS = 3


def is_true(stored: object) -> bool:
    """Whether a boolean column is true; SQLite keeps texts that other programs wrote into it."""
    return stored in (1, "1", "true", "t")


class UserRow(NamedTuple):
    """A user as the service reads one; fields of columns that are not there are None."""

    id: int
    status: int | None
    access_token: str | None
    quota: int | None
    used_quota: int | None
    deleted_at: object
    setting: str | None

    @property
    def enabled(self) -> bool:
        return self.status == ENABLED and self.deleted_at is None

    @property
    def wallet(self) -> Balance:
        """What the user's own row says; NULL counts as 0."""
        return Balance(int(self.quota or 0), int(self.used_quota or 0))

    @property
    def billing_preference(self) -> str:
        """new-api: which of wallet and subscriptions pays; "" when it was never set."""
        with suppress(ValueError, AttributeError, RecursionError):
            return str(json.loads(self.setting or "{}").get("billing_preference", ""))
        return ""


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
    name: str | None
    allow_ips: str | None
    subnet: str | None
    setting: object
    deleted_at: object
    user: UserRow | None

    @property
    def unlimited(self) -> bool:
        """Whether the token has no limit of its own; NULL counts as limited."""
        return is_true(self.unlimited_quota)

    @property
    def balance(self) -> Balance:
        """The token's own figures; NULL counts as 0."""
        return Balance(int(self.remain_quota or 0), int(self.used_quota or 0), self.unlimited)

    @property
    def allow_list_is_too_long(self) -> bool:
        """Whether an allow-list has more characters or networks than are read."""
        if isinstance(self.setting, str | bytes) and len(self.setting) > ALLOW_LIST_LENGTH:
            return True
        return _is_too_long(self.allow_ips, "\n") or _is_too_long(self.subnet, ",")


def _is_too_long(allow_list: str | None, separator: str) -> bool:
    if not allow_list:
        return False
    networks = allow_list.count(separator) + 1
    return len(allow_list) > ALLOW_LIST_LENGTH or networks > ALLOW_LIST_NETWORKS


class SubscriptionRow(NamedTuple):
    """A subscription that is active now, in quota units and unix seconds."""

    id: int
    amount_total: int
    amount_used: int
    next_reset_time: int | None
    start_time: int | None
    end_time: int
    allow_wallet_overflow: object
    plan_id: int | None

    @property
    def is_strict(self) -> bool:
        """Whether the wallet may not pay once this is used up; NULL, as no column, counts as no."""
        return self.allow_wallet_overflow in (0, "0", "false", "f")

    def remaining(self, now: int) -> int:
        """What is left, with the reset that the gateway makes only at the next use."""
        due = 0 < (self.next_reset_time or 0) <= now
        return max(self.amount_total - (0 if due else self.amount_used), 0)


_USER = tuple(getattr(GatewayUser, name) for name in UserRow._fields)
_TOKEN = tuple(getattr(GatewayToken, name) for name in TokenRow._fields[:-1])
_SUBSCRIPTION = tuple(getattr(UserSubscription, name) for name in SubscriptionRow._fields)

#: Tables with columns whose absence a query takes for NULL or for no rows. Allow-lists are not
#: among them: an upgrade of a gateway moves them to another column.
DECISIVE_COLUMNS = (
    *(("users", name) for name in UserRow._fields),
    *(
        ("tokens", name)
        for name in TokenRow._fields
        if name not in ("name", "allow_ips", "subnet", "user")
    ),
    # By these one-hub and done-hub are known.
    *(("user_groups", "symbol"), ("statistics", "date"), ("statistics", "cost_quota")),
    ("users", "linuxdo_id"),
    ("options", "key"),
    *(("user_subscriptions", field.column_name) for field in _SUBSCRIPTION),
    ("redemptions", "used_user_id"),
    ("top_ups", "amount"),
)

#: The same of the database that has the logs.
DECISIVE_LOG_COLUMNS = (("logs", "token_id"), ("logs", "quota"))
_ALLOW_LISTS = {"allow_ips", "subnet"}


def select_existing(columns: TableColumns, fields: Sequence[Field[Any]]) -> list[Any]:
    """The fields, NULL for each whose column this version of the gateway lacks."""
    return [
        _bounded(field)
        if columns.has(field.model._meta.table_name, field.column_name)
        else SQL("NULL")
        for field in fields
    ]


def _bounded(field: Field[Any]) -> Node:
    """The column; of an allow-list no more than shows that it is too long."""
    if field.column_name not in _ALLOW_LISTS:
        return field
    return fn.SUBSTR(field, SQL("1"), SQL(str(ALLOW_LIST_LENGTH + 1)))


def _as_text(node: Any) -> Any:
    """The text of a column that is JSON in some gateways: in an array it would be no text."""
    is_setting = isinstance(node, Field) and node.column_name == "setting"
    return fn.CONCAT(node) if is_setting else node


def _tokens(columns: TableColumns) -> Select:
    selected = select_existing(columns, _TOKEN + _USER)
    if columns.packs_rows:
        selected = [columns.dialect.pack([_as_text(node) for node in selected])]
    owner = GatewayUser.id == GatewayToken.user_id
    return GatewayToken.select(*selected).join(GatewayUser, JOIN.LEFT_OUTER, on=owner)


def token_by_key(columns: TableColumns) -> Query:
    return _tokens(columns).where(GatewayToken.key == PLACEHOLDER)


def token_by_any_key(columns: TableColumns) -> Query:
    return _tokens(columns).where(GatewayToken.key.in_((PLACEHOLDER,) * MAX_KEYS))


def token_by_id(columns: TableColumns) -> Query:
    return _tokens(columns).where(GatewayToken.id == PLACEHOLDER)


def _users(columns: TableColumns) -> Select:
    return GatewayUser.select(*select_existing(columns, _USER))


def user_by_id(columns: TableColumns) -> Query:
    return GatewayUser.select(*select_existing(columns, _USER)).where(GatewayUser.id == PLACEHOLDER)


def users_by_id(columns: TableColumns) -> Node:
    used = (GatewayUser.id > PLACEHOLDER, GatewayUser.used_quota > 0)
    return GatewayUser.select(GatewayUser.id).where(*used).order_by(GatewayUser.id).limit(1000)


def user_by_name(columns: TableColumns) -> Query:
    return GatewayUser.select(*select_existing(columns, _USER)).where(
        GatewayUser.username == PLACEHOLDER
    )


def tokens_with_long_allow_lists(columns: TableColumns) -> Query:
    """How many, and the first one's id; in bytes where LENGTH counts those."""
    too_long: Any = SQL("1 = 0")
    for field, separator in ((GatewayToken.allow_ips, "\n"), (GatewayToken.subnet, ",")):
        if columns.has("tokens", field.column_name):
            length = fn.LENGTH(field)
            separators = length - fn.LENGTH(fn.REPLACE(field, separator, ""))
            is_too_long = (length > ALLOW_LIST_LENGTH) | (separators >= ALLOW_LIST_NETWORKS)
            too_long = is_too_long | too_long
    if columns.has("tokens", "deleted_at"):
        too_long &= GatewayToken.deleted_at.is_null()
    return GatewayToken.select(fn.COUNT(SQL("1")), fn.MIN(GatewayToken.id)).where(too_long)


def any_token(columns: TableColumns) -> Query:
    owner = GatewayUser.id == GatewayToken.user_id
    return GatewayToken.select(GatewayToken.id).join(GatewayUser, on=owner).limit(1)


def all_options(columns: TableColumns) -> Query:
    """Deliberately without ORDER BY: gateways apply duplicates in the order returned.

    docs/gateways.md section 6: of two rows that contradict each other the later one wins.
    """
    return Option.select(Option.key, Option.value)


def active_subscriptions(columns: TableColumns) -> Query:
    owned = UserSubscription.user_id == PLACEHOLDER
    active = UserSubscription.status == "active"
    return UserSubscription.select(*select_existing(columns, _SUBSCRIPTION)).where(
        owned, active, UserSubscription.end_time > PLACEHOLDER
    )


def verify_embedded(columns: TableColumns) -> None:
    """Raises DatabaseMisconfigured for a database that `flask init` did not make.

    While a dump is loaded the tables appear one by one: a table that is not there yet must not be
    taken for one without columns.
    """
    if not all(columns.columns[table] for table in _EMBEDDED_TABLES):
        raise DatabaseMisconfigured(
            "the database does not hold our tables: run `flask init`, or, if it is a gateway's, "
            "set BILLING_MODE=attached"
        )


def verify_attached(columns: TableColumns) -> None:
    """Raises DatabaseMisconfigured for a database that is no gateway's.

    Our own must not be attached: its keys are digests, and a digest would then authenticate.
    """
    if columns.columns[SCHEMA_TABLE]:
        raise DatabaseMisconfigured(
            "the database is our own: BILLING_MODE=attached is for a gateway's"
        )
    for table in ("users", "tokens"):
        if not columns.columns[table]:
            raise DatabaseMisconfigured(f"the database has no table {table}: it is no gateway's")


class Queries:
    """What a request asks the database, each by one indexed read. Raises as Database.fetch does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tokens(self, keys: list[str]) -> list[TokenRow]:
        """The tokens with one of the stored `keys`, 1 to MAX_KEYS of them, and their owners."""
        if len(keys) == 1:
            return _token_rows(self._database.fetch(token_by_key, *keys))
        padded = (keys * MAX_KEYS)[:MAX_KEYS]
        return _token_rows(self._database.fetch(token_by_any_key, *padded))

    def token_of_id(self, token_id: int) -> TokenRow | None:
        return next(iter(_token_rows(self._database.fetch(token_by_id, token_id))), None)

    def user(self, user_id: int) -> UserRow | None:
        """The user of that id, deleted or not."""
        for row in self._database.fetch(user_by_id, user_id):
            return UserRow._make(row)
        return None

    def user_named(self, name: str) -> UserRow | None:
        """The user of that name, deleted or not."""
        for row in self._database.fetch(user_by_name, name):
            return UserRow._make(row)
        return None

    def users_after(self, user_id: int) -> list[int]:
        """The ids of the next users above that one who have used anything; 1000 at most."""
        rows = self._database.fetch(users_by_id, user_id, heavy=True)
        return [int(id) for (id,) in rows]

    def ready(self) -> None:
        """Returns when the tables can be read."""
        self._database.fetch(any_token)

    def options(self) -> list[tuple[str, str]]:
        """The gateway's saved options, in the order that decides between them."""
        if not self._database.table_columns().columns["options"]:
            return []
        rows = self._database.fetch(all_options)
        return [(key, value if isinstance(value, str) else "") for key, value in rows]

    def subscriptions(self, user_id: int, now: int) -> list[SubscriptionRow]:
        """The user's active subscriptions; none where the gateway knows no such thing."""
        if not self._database.table_columns().columns["user_subscriptions"]:
            return []
        rows = self._database.fetch(active_subscriptions, user_id, now)
        return [SubscriptionRow._make(row) for row in rows]


def _token_rows(rows: list[tuple[Any, ...]]) -> list[TokenRow]:
    found = []
    for row in rows:
        if len(row) == 1:
            row = json.loads(row[0])
        token, owner = row[: len(_TOKEN)], UserRow._make(row[len(_TOKEN) :])
        # The outer join fills a missing owner with NULLs.
        found.append(TokenRow._make((*token, None if owner.id is None else owner)))
    return found
