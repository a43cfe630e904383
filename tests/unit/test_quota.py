"""The arithmetic: edges by plain calls, laws by hypothesis."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.quota import Balance, Display, access_until, display, spendable
from billing.web.schemas import SubscriptionSchema, UsageSchema, dump
from config import positive_number

#: A busy machine breaks no law.
UNHURRIED = settings(deadline=None)

QUOTAS = st.integers(-(2**53), 2**53)
UNITS = st.sampled_from(["USD", "CNY", "TOKENS", "CUSTOM"])
RATES = st.builds("{}.{}e{}".format, st.integers(1, 10**6), st.integers(0, 999), st.integers(-9, 9))
DISPLAYS = st.builds(display, UNITS, *[RATES.map(positive_number)] * 3)


def usd(quota_per_unit: int = 500_000) -> Display:
    return display("USD", Fraction(quota_per_unit), Fraction(1), Fraction(1))


def as_sent(shown: Display, balance: Balance) -> tuple[float, float]:
    """hard_limit_usd and total_usage as a client's JSON parser gives them."""
    subscription = dump(SubscriptionSchema(), hard_limit=shown.hard_limit(balance), access_until=0)
    usage = dump(UsageSchema(), total_usage=shown.hundredths(balance.used))
    limit = json.loads(json.dumps(subscription, allow_nan=False))["hard_limit_usd"]
    return limit, json.loads(json.dumps(usage, allow_nan=False))["total_usage"]


@pytest.mark.parametrize(
    ("quota", "written"),
    [
        (0, "0.0"),
        (1, "2e-06"),
        (3, "6e-06"),
        (-1, "-2e-06"),
        (350_000, "0.7"),
        (50_000_000, "100.0"),
        (2**53, "18014398509.481983"),
        (-(2**53), "-18014398509.481983"),
    ],
)
def test_a_quota_is_written_as_the_nearest_double(quota: int, written: str) -> None:
    limit, _ = as_sent(usd(), Balance(quota, 0))

    assert json.dumps(limit) == written


@pytest.mark.parametrize(
    ("unit", "limit", "total"),
    [
        ("USD", 1.0, 25.0),
        ("CNY", 7.3, 182.5),
        ("CUSTOM", 0.1, 2.5),
        ("TOKENS", 500_000.0, 12_500_000.0),
    ],
)
def test_each_unit_has_its_own_worth(unit: str, limit: float, total: float) -> None:
    shown = display(unit, Fraction(500_000), positive_number("7.3"), positive_number("0.1"))

    figures = as_sent(shown, Balance(375_000, 125_000))

    assert figures == (limit, total)


@UNHURRIED
@given(DISPLAYS, QUOTAS, QUOTAS)
def test_the_identity_is_exact_before_json(shown: Display, remaining: int, used: int) -> None:
    hard_limit = shown.hard_limit(Balance(remaining, used))
    total_usage = shown.hundredths(used)

    assert hard_limit * 100 - total_usage == shown.amount(remaining) * 100


@UNHURRIED
@given(DISPLAYS, QUOTAS, QUOTAS)
@example(usd(), 2**53, 2**53)
@example(usd(), -(2**53), 2**53)
@example(usd(3), 1, 2**53 - 1)
def test_the_identity_survives_json_to_two_last_places(
    shown: Display, remaining: int, used: int
) -> None:
    limit, total = as_sent(shown, Balance(remaining, used))

    off = Fraction(limit) * 100 - Fraction(total) - shown.amount(remaining) * 100
    assert abs(off) <= 2 * Fraction(math.ulp(max(abs(limit * 100), abs(total))))


@UNHURRIED
@given(DISPLAYS, QUOTAS, QUOTAS)
def test_no_double_is_nearer_than_the_one_sent(shown: Display, remaining: int, used: int) -> None:
    limit, total = as_sent(shown, Balance(remaining, used))

    for sent, exact in (
        (limit, (remaining + used) * shown.per_quota),
        (total, used * shown.per_quota * 100),
    ):
        off = abs(Fraction(sent) - exact)
        assert off <= abs(Fraction(math.nextafter(sent, math.inf)) - exact)
        assert off <= abs(Fraction(math.nextafter(sent, -math.inf)) - exact)


#: Used quota up to what a database holds, and often close to what is worth 100000000 in TOKENS.
USES = st.integers(0, 2**63 - 1) | st.integers(10**8 - 3, 10**8 + 3) | st.integers(0, 2 * 10**8)


@UNHURRIED
@given(DISPLAYS, QUOTAS, QUOTAS | USES)
@example(display("TOKENS", Fraction(1), Fraction(1), Fraction(1)), 0, 125_000_000)
def test_unlimited_is_never_converted(shown: Display, remaining: int, used: int) -> None:
    limit, total = as_sent(shown, Balance(remaining, used, unlimited=True))

    worth = used * shown.per_quota
    assert limit == (100000000 if worth < 100000000 else float(worth + 100000000))
    assert total == float(worth * 100)


@UNHURRIED
@given(DISPLAYS, QUOTAS, USES)
def test_the_limit_of_unlimited_is_above_what_was_used(
    shown: Display, remaining: int, used: int
) -> None:
    balance = Balance(remaining, used, unlimited=True)

    left = shown.hard_limit(balance) - shown.hundredths(used) / 100
    limit, total = as_sent(shown, balance)

    assert 0 < left <= 100000000
    # But for the rounding of doubles, above 2**53.
    assert limit >= total / 100 * (1 - 2**-51)


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        (0, 100000000),
        (99999999, 100000000),
        (100000000, 200000000),
        (100000001, 200000001),
        (125000000, 225000000),
    ],
)
def test_unlimited_in_quota_units_goes_on_above_what_was_used(used: int, limit: int) -> None:
    shown = display("TOKENS", Fraction(500_000), Fraction(1), Fraction(1))

    assert as_sent(shown, Balance(-used, used, unlimited=True)) == (limit, used * 100)


@pytest.mark.parametrize(
    ("expired_time", "shown"), [(-1, 0), (0, 0), (1, 1), (1640995200, 1640995200)]
)
def test_access_ends_at_the_expiry_or_never(expired_time: int, shown: int) -> None:
    assert access_until(expired_time) == shown


BALANCES = st.builds(Balance, QUOTAS, st.integers(0, 2**53), st.booleans())


@UNHURRIED
@given(BALANCES, BALANCES)
def test_never_more_can_be_spent_than_either_side_has(token: Balance, account: Balance) -> None:
    shown = spendable(token, account)

    assert shown.unlimited == (token.unlimited and account.unlimited)
    if not shown.unlimited:
        limits = [each.remaining for each in (token, account) if not each.unlimited]
        assert shown.remaining == min(limits)


@UNHURRIED
@given(BALANCES, BALANCES, st.integers(0, 2**53), st.integers(0, 2**53))
def test_more_on_either_side_never_means_less_to_spend(
    token: Balance, account: Balance, more: int, more_in_account: int
) -> None:
    richer = spendable(
        token._replace(remaining=token.remaining + more),
        account._replace(remaining=account.remaining + more_in_account),
    )

    assert richer.remaining >= spendable(token, account).remaining


@UNHURRIED
@given(DISPLAYS, BALANCES, BALANCES)
def test_of_what_can_be_spent_the_limit_less_the_usage_is_exactly_what_remains(
    shown: Display, token: Balance, account: Balance
) -> None:
    balance = spendable(token, account)

    if not balance.unlimited:
        left = shown.hard_limit(balance) * 100 - shown.hundredths(balance.used)
        assert left == shown.amount(balance.remaining) * 100 == shown.available(balance) * 100


@UNHURRIED
@given(BALANCES, BALANCES)
def test_a_limited_token_keeps_its_own_usage(token: Balance, account: Balance) -> None:
    if not token.unlimited:
        assert spendable(token, account).used == token.used
    else:
        assert spendable(token, account) == account
