"""`--below`: who can spend less than an amount, for a warning before the quota runs out."""

from __future__ import annotations

import pytest

from tests.support.application import Billing


@pytest.fixture
def accounts(billing: Billing) -> Billing:
    """alice has $4 in her wallet, bob $50."""
    billing.user("alice", 2_000_000)
    billing.user("bob", 25_000_000)
    billing.token("alice", "--usd", "100")
    billing.token("alice", "--usd", "1")
    billing.token("bob", "--usd", "100")
    billing.token("bob", "--usd", "5")
    billing.token("bob", "--unlimited")
    return billing


def test_tokens_are_judged_by_what_they_can_spend(accounts: Billing) -> None:
    rows = accounts.json("token", "list", "--below", "5.01")

    assert [(row["id"], row["spendable"], row["unit"]) for row in rows] == [
        (1, 4.0, "USD"),
        (2, 1.0, "USD"),
        (4, 5.0, "USD"),
    ]


def test_the_amount_itself_is_not_below(accounts: Billing) -> None:
    assert [row["id"] for row in accounts.json("token", "list", "bob", "--below", "5")] == []


def test_users_are_judged_by_their_wallet(accounts: Billing) -> None:
    rows = accounts.json("user", "list", "--below", "5")

    assert [(row["username"], row["spendable"], row["unit"]) for row in rows] == [
        ("alice", 4.0, "USD")
    ]


def test_nobody_is_warned_of_what_does_not_work(accounts: Billing) -> None:
    accounts.user("carol", 1)
    accounts.token("carol", "--usd", "1")
    accounts.token("alice", "--usd", "1", "--expires", "2020-01-01")
    disabled = accounts.token("alice", "--usd", "1")
    accounts.run("token", "disable", str(disabled["id"]))
    accounts.run("user", "disable", "carol")

    tokens = accounts.json("token", "list", "--below", "5")
    users = accounts.json("user", "list", "--below", "5")

    assert [row["id"] for row in tokens] == [1, 2]
    assert [row["username"] for row in users] == ["alice"]


def test_the_amount_is_in_the_display_unit(accounts: Billing) -> None:
    runner = accounts.make_app(DISPLAY_UNIT="CNY").test_cli_runner()

    below = runner.invoke(args=["user", "list", "--below", "29.2"])
    above = runner.invoke(args=["user", "list", "--below", "29.21"])

    assert (below.stdout, below.stderr) == ("", "none\n")
    assert "29.2" in above.stdout
    assert "CNY" in above.stdout


@pytest.mark.parametrize("amount", ["-1", "x", "nan", "1e3", "", "٥"])
def test_what_is_no_amount_is_refused(sqlite_billing: Billing, amount: str) -> None:
    refused = sqlite_billing.run("user", "list", f"--below={amount}", status=2)

    assert "not a number from 0" in refused


def test_without_it_the_lists_are_as_ever(accounts: Billing) -> None:
    assert "spendable" not in accounts.json("user", "list")[0]
    assert "spendable" not in accounts.json("token", "list")[0]
