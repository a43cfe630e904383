"""Credit grants: where what a caller may spend came from, and how much of each is used.

The grants add up to the caller's other figures exactly; what the tables do not explain is a grant
of its own (GATEWAYS section 6: gateways' tables are often incomplete).
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, NamedTuple

from peewee import SQL, Field, Node, fn

from billing.core.service import Service
from billing.database.connection import BOUND, Shape
from billing.database.models import LOG_TOPUP, Log, Redemption, TopUp
from billing.database.queries import TokenRow, UserRow
from billing.quota import Balance

#: So many of a user's credits are listed one by one, the newest; older ones are in the rest.
_LISTED = 100


class Grant(NamedTuple):
    """Amounts in display units; unix seconds, 0 for an unknown start and for no end."""

    id: str
    grant_amount: Fraction
    used_amount: Fraction
    effective_at: int
    expires_at: int


class _Credit(NamedTuple):
    """Amounts in quota units; `used` None is whatever the wallet's spending comes to."""

    id: str
    quota: int
    used: int | None
    effective_at: int
    expires_at: int = 0


def grants(
    billing: Service, user: UserRow, token: TokenRow | None, balance: Balance, ends: int
) -> list[Grant]:
    """Of the figures that the caller is shown: a token's one grant, or an account's, oldest first.

    Raises as Handle.fetch does.
    """
    if own := billing.shown_token(token):
        return [_whole(billing, f"token-{own.id}", balance, ends)]
    if balance.unlimited:
        return [_whole(billing, f"account-{user.id}", balance, ends)]
    amount = billing.display.amount
    return [
        Grant(id, amount(quota), amount(used or 0), effective_at, expires_at)
        for id, quota, used, effective_at, expires_at in _settled(
            _credits(billing, user), balance, f"account-{user.id}"
        )
    ]


def _whole(billing: Service, id: str, balance: Balance, ends: int) -> Grant:
    limit, used = billing.display.hard_limit(balance), billing.display.amount(balance.used)
    return Grant(id, limit, used, 0, ends)


def _settled(credits: list[_Credit], balance: Balance, rest: str) -> list[_Credit]:
    """The credits with what is used of each, the oldest first, and one for what is unexplained."""
    spent = balance.used - sum(credit.used or 0 for credit in credits)
    settled = []
    for credit in credits:
        if credit.used is None:
            used = min(max(spent, 0), credit.quota)
            credit, spent = credit._replace(used=used), spent - used
        settled.append(credit)
    quota = balance.remaining + balance.used - sum(credit.quota for credit in credits)
    return [_Credit(rest, quota, spent, 0), *settled] if quota or spent else settled


def _credits(billing: Service, user: UserRow) -> list[_Credit]:
    """What the tables say that the user was given, oldest first."""
    fetch = billing.handle.fetch
    if not billing.attached:
        rows = fetch(_operators_credits, user.id, heavy=True)
        return sorted((_Credit(f"credit-{id}", *row) for id, *row in rows), key=_age)
    columns = billing.handle.shape().columns
    credits = _subscriptions(billing, user)
    if user.billing_preference == "subscription_only":
        return sorted(credits, key=_age)
    if "used_user_id" in columns["redemptions"]:
        rows = fetch(_redemptions, user.id, heavy=True)
        credits += [_Credit(f"redemption-{id}", *row) for id, *row in rows]
    if columns["top_ups"]:
        worth = billing.settings.quota_per_unit
        for id, dollars, used, at in fetch(_top_ups, user.id, heavy=True):
            credits.append(_Credit(f"topup-{id}", round(dollars * worth), used, at))
    return sorted(credits, key=_age)


def _age(credit: _Credit) -> tuple[int, str]:
    return credit.effective_at, credit.id


def _subscriptions(billing: Service, user: UserRow) -> list[_Credit]:
    now = int(time.time())
    return [
        _Credit(
            f"subscription-{row.id}",
            row.amount_total,
            row.amount_total - row.remaining(now),
            row.start_time or 0,
            row.end_time,
        )
        for row in billing.subscriptions(user)
    ]


def _known(quota: Field[Any], time: Field[Any]) -> tuple[Node, ...]:
    """A credit's quota, its use, which no table tells, and its time; NULLs count as 0."""
    return fn.COALESCE(quota, 0), SQL("NULL"), fn.COALESCE(time, 0)


def _operators_credits(shape: Shape) -> Node:
    mine = (Log.user_id == BOUND, Log.type == LOG_TOPUP, Log.token_id == 0)
    columns = (Log.id, *_known(Log.quota, Log.created_at))
    return Log.select(*columns).where(*mine).order_by(Log.id.desc()).limit(_LISTED)


def _redemptions(shape: Shape) -> Node:
    columns = (Redemption.id, *_known(Redemption.quota, Redemption.redeemed_time))
    mine = Redemption.select(*columns).where(Redemption.used_user_id == BOUND)
    return mine.order_by(Redemption.id.desc()).limit(_LISTED)


def _top_ups(shape: Shape) -> Node:
    columns = (TopUp.id, *_known(TopUp.amount, TopUp.create_time))
    paid = (TopUp.user_id == BOUND, TopUp.status == "success", TopUp.amount > 0)
    return TopUp.select(*columns).where(*paid).order_by(TopUp.id.desc()).limit(_LISTED)
