"""Quota arithmetic: exact, pure; no Flask, no database.

Quota is an integer count of internal units (docs/contract.md section 4). Amounts leave this module
as Fractions and become floats once, where a schema writes JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

#: What clients take for "unlimited" (neko-api-key-tool tests `=== 100000000`); never converted.
UNLIMITED = Fraction(100_000_000)

#: The most quota that one command or record may move; beyond it JSON numbers lose units.
MAX_QUOTA = 2**53

#: The most prompt or completion tokens of one record: a trillion of them fit an hour's sum.
MAX_TOKENS = 2**40

#: The most that a stored balance may reach, so that remaining plus used stays within 64 bits.
MAX_STORED = 2**62


class Balance(NamedTuple):
    """What remains and what is used, in quota units. `unlimited` means no limit, not a figure."""

    remaining: int
    used: int
    unlimited: bool = False


def limited_by(token: Balance, account: Balance) -> Literal["token", "account", "nothing"]:
    """Which of the two has less left, the token if both have the same; neither has a limit."""
    if token.unlimited:
        return "nothing" if account.unlimited else "account"
    if account.unlimited or token.remaining <= account.remaining:
        return "token"
    return "account"


def spendable(token: Balance, account: Balance) -> Balance:
    """The token's own figures, of which no more remains than its account can pay.

    An unlimited token can spend what the account can, and shows the account.
    """
    if token.unlimited:
        return account
    if limited_by(token, account) == "account":
        return token._replace(remaining=account.remaining)
    return token


@dataclass(frozen=True)
class Display:
    """How quota is shown: the unit, and how much of it one quota unit is worth."""

    unit: str
    per_quota: Fraction
    hundredths_per_quota: Fraction

    def amount(self, quota: int) -> Fraction:
        """`quota` in display units."""
        return quota * self.per_quota

    def hard_limit(self, balance: Balance) -> Fraction:
        """Remaining plus used in display units, or the unlimited figure.

        The gateways' pollers disable a channel whose limit is not above what it used. So where the
        unlimited figure is not, it is what is left (docs/contract.md section 4).
        """
        if not balance.unlimited:
            return self.amount(balance.remaining + balance.used)
        used = self.amount(balance.used)
        return UNLIMITED if used < UNLIMITED else used + UNLIMITED

    def available(self, balance: Balance) -> Fraction:
        """What remains in display units, or the unlimited figure."""
        return UNLIMITED if balance.unlimited else self.amount(balance.remaining)

    def hundredths(self, quota: int) -> Fraction:
        """`quota` in hundredths of a display unit: cents when the unit is USD."""
        return quota * self.hundredths_per_quota


def display(unit: str, quota_per_unit: Fraction, cny: Fraction, custom: Fraction) -> Display:
    """The display of `unit`: USD, CNY (`cny` for a dollar), CUSTOM (`custom`), TOKENS (raw)."""
    dollars = 1 / quota_per_unit
    worth = {
        "USD": dollars,
        "CNY": dollars * cny,
        "CUSTOM": dollars * custom,
        "TOKENS": Fraction(1),
    }
    return Display(unit, worth[unit], worth[unit] * 100)


def has_expired(expired_time: int | None, now: int) -> bool:
    """Whether a stored expiry (unix seconds, -1 for never) is past; NULL counts as 0."""
    return expired_time != -1 and (expired_time or 0) < now


def access_until(expired_time: int) -> int:
    """Unix seconds when access ends; 0 when it never does (stored as -1)."""
    return max(expired_time, 0)
