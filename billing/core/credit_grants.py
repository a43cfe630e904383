"""Credit grants: where what a caller may spend came from, and how much of each is used.

The grants add up to the caller's other figures exactly; what the tables do not explain is a grant
of its own (docs/gateways.md section 6: gateways' tables are often incomplete).
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, NamedTuple

from peewee import SQL, Field, Node, fn

from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import LOG_TOPUP, Log, Redemption, SubscriptionPlan, TopUp
from billing.database.queries import SubscriptionRow, TokenRow, UserRow
from billing.quota import Balance

#: The newest credits of a user that are listed one by one; older ones are in the rest.
_MAX_LISTED = 100


class Grant(NamedTuple):
    """Amounts in display units; unix seconds, 0 for an unknown start and for no end.

    `source` is None for a grant that stands for all figures. `resets_at` is 0 for a subscription
    that never resets; it and `plan` are None for everything else.
    """

    id: str
    grant_amount: Fraction
    used_amount: Fraction
    effective_at: int
    expires_at: int
    source: str | None = None
    plan: str | None = None
    resets_at: int | None = None


class _Credit(NamedTuple):
    """Amounts in quota units. `used=None`: in no table, so that it is allocated."""

    id: str
    quota: int
    used: int | None
    effective_at: int
    expires_at: int = 0
    plan: str | None = None
    resets_at: int | None = None

    @property
    def source(self) -> str:
        """The word that its id begins with; what no table explains is in the wallet."""
        word = self.id.partition("-")[0]
        return "wallet" if word == "account" else word


def credit_grants(
    service: Service, user: UserRow, token: TokenRow | None, balance: Balance, expires_at: int
) -> list[Grant]:
    """The grants behind the caller's balance: a token's single one, or an account's, oldest first.

    Raises as Database.fetch does.
    """
    if token_in_scope := service.token_in_scope(token):
        return [_single_grant(service, f"token-{token_in_scope.id}", balance, expires_at)]
    if balance.unlimited:
        return [_single_grant(service, f"account-{user.id}", balance, expires_at)]
    with service.heavy_reads():
        credits = _allocate(_credits(service, user), balance, f"account-{user.id}")
    amount = service.display.amount
    return [
        Grant(
            credit.id,
            amount(credit.quota),
            amount(credit.used or 0),
            credit.effective_at,
            credit.expires_at,
            credit.source,
            credit.plan,
            credit.resets_at,
        )
        for credit in credits
    ]


def _single_grant(service: Service, id: str, balance: Balance, expires_at: int) -> Grant:
    limit, used = service.display.hard_limit(balance), service.display.amount(balance.used)
    return Grant(id, limit, used, 0, expires_at)


def _allocate(credits: list[_Credit], balance: Balance, rest: str) -> list[_Credit]:
    """Spread what was spent over the credits, oldest first; what is left over is credit `rest`."""
    spent = balance.used - sum(credit.used or 0 for credit in credits)
    allocated = []
    for credit in credits:
        if credit.used is None:
            used = min(max(spent, 0), credit.quota)
            credit, spent = credit._replace(used=used), spent - used
        allocated.append(credit)
    quota = balance.remaining + balance.used - sum(credit.quota for credit in credits)
    return [_Credit(rest, quota, spent, 0), *allocated] if quota or spent else allocated


def _credits(service: Service, user: UserRow) -> list[_Credit]:
    """What the tables say that the user was given, oldest first."""
    fetch = service.database.fetch
    if not service.attached:
        rows = fetch(_operator_credits, user.id, heavy=True)
        return sorted((_Credit(f"credit-{id}", *row) for id, *row in rows), key=_age)
    columns = service.database.table_columns().columns
    subscriptions = service.subscriptions(user)
    credits = _subscription_credits(subscriptions, _plan_titles(service, subscriptions))
    if not service.is_wallet_spendable(user, subscriptions):
        return sorted(credits, key=_age)
    if "used_user_id" in columns["redemptions"]:
        rows = service.redemptions.find(user.id, lambda: fetch(_redemptions, user.id, heavy=True))
        credits += [_Credit(f"redemption-{id}", *row) for id, *row in rows]
    if columns["top_ups"]:
        quota_per_unit = service.settings.quota_per_unit
        for id, dollars, used, at in fetch(_top_ups, user.id, heavy=True):
            credits.append(_Credit(f"topup-{id}", round(dollars * quota_per_unit), used, at))
    return sorted(credits, key=_age)


def _age(credit: _Credit) -> tuple[int, str]:
    return credit.effective_at, credit.id


def _plan_titles(service: Service, subscriptions: list[SubscriptionRow]) -> dict[int, str]:
    """The titles of the site's plans by their ids; none where they cannot be of use."""
    columns = service.database.table_columns()
    if not subscriptions or not columns.has("subscription_plans", "title"):
        return {}
    return {id: title or "" for id, title in service.database.fetch(_plans)}


def _subscription_credits(
    subscriptions: list[SubscriptionRow], titles: dict[int, str]
) -> list[_Credit]:
    now = int(time.time())
    return [
        _Credit(
            f"subscription-{row.id}",
            row.amount_total,
            row.amount_total - row.remaining(now),
            row.start_time or 0,
            row.end_time,
            titles.get(row.plan_id or 0, ""),
            row.next_reset_time or 0,
        )
        for row in subscriptions
    ]


def _known(quota: Field[Any], time: Field[Any]) -> tuple[Node, ...]:
    """A credit's quota, NULL for its use, which no table holds, and its time; 0 for NULLs."""
    return fn.COALESCE(quota, 0), SQL("NULL"), fn.COALESCE(time, 0)


def _operator_credits(columns: TableColumns) -> Node:
    owned = (Log.user_id == PLACEHOLDER, Log.type == LOG_TOPUP, Log.token_id == 0)
    selected = (Log.id, *_known(Log.quota, Log.created_at))
    return Log.select(*selected).where(*owned).order_by(Log.id.desc()).limit(_MAX_LISTED)


def _plans(columns: TableColumns) -> Node:
    return SubscriptionPlan.select(SubscriptionPlan.id, SubscriptionPlan.title)


def _redemptions(columns: TableColumns) -> Node:
    selected = (Redemption.id, *_known(Redemption.quota, Redemption.redeemed_time))
    owned = Redemption.select(*selected).where(Redemption.used_user_id == PLACEHOLDER)
    return owned.order_by(Redemption.id.desc()).limit(_MAX_LISTED)


def _top_ups(columns: TableColumns) -> Node:
    selected = (TopUp.id, *_known(TopUp.amount, TopUp.create_time))
    paid = (TopUp.user_id == PLACEHOLDER, TopUp.status == "success", TopUp.amount > 0)
    return TopUp.select(*selected).where(*paid).order_by(TopUp.id.desc()).limit(_MAX_LISTED)
