"""`flask quickstart`: a newcomer's first user and token, made once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.processes import flask


@pytest.fixture
def empty(empty_url: str) -> Iterator[Billing]:
    held = Billing(empty_url, PORT="8123")
    yield held
    held.close()


def test_a_fresh_quickstart_makes_a_user_and_a_token_that_work(empty: Billing) -> None:
    made = empty.json("quickstart")

    assert list(made) == ["user_id", "username", "access_token", "token_id", "key"]
    assert (made["user_id"], made["username"], made["token_id"]) == (1, "first", 1)
    answer = empty.client().get(
        "/v1/dashboard/billing/subscription", headers=bearer(made["key"], made["user_id"])
    )
    assert answer.json == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 100.0,
        "hard_limit_usd": 100.0,
        "system_hard_limit_usd": 100.0,
        "access_until": 0,
    }


def test_it_prints_a_curl_line_ready_to_paste(empty: Billing) -> None:
    output = empty.run("quickstart")

    key = re.search(r"^key +(sk-[A-Za-z0-9]{48})$", output, re.MULTILINE)
    assert key
    assert (
        f"\ncurl -H 'Authorization: Bearer {key[1]}' "
        "http://127.0.0.1:8123/v1/dashboard/billing/subscription\n"
    ) in output


def test_a_second_quickstart_changes_nothing(empty: Billing) -> None:
    key = empty.json("quickstart")["key"]
    before = empty.json("user", "list"), empty.json("token", "list")

    again, text = empty.json("quickstart"), empty.run("quickstart")

    assert again == {"database": "ready"}
    assert text == "database  ready\n"
    assert key not in text
    assert (empty.json("user", "list"), empty.json("token", "list")) == before


def test_a_database_with_users_gets_no_first_one(billing: Billing) -> None:
    billing.user("alice")

    assert billing.json("quickstart") == {"database": "ready"}
    assert billing.json("token", "list") == []


@pytest.mark.stress
def test_quickstarts_at_once_make_one_user_and_token(empty_url: str) -> None:
    env = {"DATABASE_URL": empty_url}

    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: flask(env, "quickstart", "--json"), range(6)))

    assert [each.stderr for each in ended] == [""] * 6
    assert len([each for each in ended if "key" in each.stdout]) == 1
    assert len(json.loads(flask(env, "token", "list", "--json").stdout)) == 1


def test_a_user_that_was_left_without_its_token_is_given_one(billing: Billing) -> None:
    billing.user("first")

    made = billing.json("quickstart")

    assert made["token_id"] == 1
    assert billing.json("quickstart") == {"database": "ready"}
