"""`flask user …`: what each command prints, and what clients of the service see of it."""

from __future__ import annotations

import re
import time
from typing import Any
from unittest import mock

import pytest

from tests.support.application import Billing
from tests.support.http_client import bearer

SUBSCRIPTION = "/v1/dashboard/billing/subscription"


def status(billing: Billing, secret: str, user_id: object = None) -> int:
    return billing.client().get(SUBSCRIPTION, headers=bearer(secret, user_id)).status_code


def credits_logged(billing: Billing) -> list[tuple[Any, ...]]:
    return billing.execute(
        "SELECT user_id, username, type, quota, token_id, token_name FROM logs ORDER BY id"
    )


def test_a_new_user_is_shown_with_its_access_token_once(billing: Billing) -> None:
    before = int(time.time())

    made = billing.json("user", "add", "张三", "--usd", "1.5")

    assert list(made) == [
        "id",
        "username",
        "status",
        "quota",
        "used_quota",
        "request_count",
        "created_at",
        "access_token",
    ]
    assert made == {
        "id": 1,
        "username": "张三",
        "status": 1,
        "quota": 750000,
        "used_quota": 0,
        "request_count": 0,
        "created_at": mock.ANY,
        "access_token": mock.ANY,
    }
    assert before <= made["created_at"] <= time.time()
    assert re.fullmatch("[A-Za-z0-9]{32}", made["access_token"])
    assert status(billing, made["access_token"], made["id"]) == 200
    assert credits_logged(billing) == [(1, "张三", 1, 750000, 0, "")]


def test_a_user_without_an_amount_begins_with_nothing(billing: Billing) -> None:
    made = billing.json("user", "add", "alice")

    assert made["quota"] == 0
    assert credits_logged(billing) == []


def test_no_command_prints_a_secret_again(billing: Billing) -> None:
    access_token = billing.user()["access_token"]
    key = billing.token()["key"].removeprefix("sk-")

    said = ""
    for json in ([], ["--json"]):
        for command in (
            "user list",
            "user show alice",
            "user credit alice --quota 1",
            "user disable alice",
            "user enable alice",
            "token list",
            "token list alice",
            "token show 1",
            "token edit 1 --name n",
            "token credit 1 --quota 1",
            "token disable 1",
            "token enable 1",
            "usage record 1 --model m --quota 1",
        ):
            said += billing.run(*command.split(), *json)

    stored = [
        text
        for row in billing.execute("SELECT tokens.key, access_token FROM tokens, users")
        for text in row
    ]
    assert [text for text in (access_token, key, *stored) if text in said] == []


def test_users_are_listed_in_order_as_a_table_or_json(billing: Billing) -> None:
    billing.user("alice", 5)
    billing.user("李四", 10**15)
    billing.user("gone")
    billing.run("user", "delete", "gone")
    created = [row[0] for row in billing.execute("SELECT created_at FROM users ORDER BY id")]

    table, rows = billing.run("user", "list"), billing.json("user", "list")

    assert table == (
        "id  username  status  quota             used_quota  request_count  created_at\n"
        f"1   alice     1       5                 0           0              {created[0]}\n"
        f"2   李四      1       1000000000000000  0           0              {created[1]}\n"
    )
    assert rows == [
        {
            "id": number,
            "username": name,
            "status": 1,
            "quota": quota,
            "used_quota": 0,
            "request_count": 0,
            "created_at": at,
        }
        for number, name, quota, at in [
            (1, "alice", 5, created[0]),
            (2, "李四", 10**15, created[1]),
        ]
    ]
    assert billing.json("user", "show", "李四") == rows[1]


def test_an_empty_list_is_no_error(billing: Billing) -> None:
    assert billing.run("user", "list") == ""
    assert billing.json("user", "list") == []
    assert billing.json("token", "list") == []


def test_a_user_is_shown_as_names_and_values(billing: Billing) -> None:
    made = billing.user("alice", 7)

    assert billing.run("user", "show", "alice") == (
        "id             1\n"
        "username       alice\n"
        "status         1\n"
        "quota          7\n"
        "used_quota     0\n"
        "request_count  0\n"
        f"created_at     {made['created_at']}\n"
    )


def test_credit_adds_to_the_wallet_and_is_logged(billing: Billing) -> None:
    billing.user("alice", 5)

    billing.run("user", "credit", "alice", "--usd", "2")
    said = billing.json("user", "credit", "alice", "--quota", "3")

    assert said["quota"] == 1_000_008
    assert [row[3] for row in credits_logged(billing)] == [5, 1_000_000, 3]


def test_a_wallet_never_outgrows_its_column(billing: Billing) -> None:
    billing.user("alice")
    billing.execute("UPDATE users SET quota = ?", 2**62)

    output = billing.run("user", "credit", "alice", "--quota", "1", status=1)

    assert output == "Error: that would be more quota than a balance can hold\n"
    assert billing.json("user", "show", "alice")["quota"] == 2**62
    assert credits_logged(billing) == []


def test_a_disabled_user_is_refused_at_once_until_enabled(billing: Billing) -> None:
    user = billing.user()
    key = billing.token()["key"]

    disabled = billing.json("user", "disable", "alice")

    assert disabled["status"] == 2
    assert status(billing, key) == 403
    assert status(billing, user["access_token"], user["id"]) == 403
    assert billing.json("user", "enable", "alice")["status"] == 1
    assert status(billing, key) == 200
    assert status(billing, user["access_token"], user["id"]) == 200


def test_a_deleted_user_is_gone_but_its_rows_stay(billing: Billing) -> None:
    user = billing.user("alice", 9)
    key = billing.token()["key"]

    deleted = billing.json("user", "delete", "alice")

    assert deleted["id"] == user["id"]
    assert status(billing, key) == 403
    assert billing.json("user", "list") == []
    for command in ("show", "delete", "enable", "new-access-token"):
        output = billing.run("user", command, "alice", status=1)
        assert output == "Error: no user named 'alice': `flask user list` shows them\n"
    assert billing.execute("SELECT username, quota FROM users") == [("alice", 9)]
    assert billing.run("user", "add", "alice", status=1) == (
        "Error: there is a user named 'alice' already, perhaps deleted\n"
    )


def test_a_new_access_token_ends_the_old_one(billing: Billing) -> None:
    user = billing.user()

    said = billing.json("user", "new-access-token", "alice")

    assert list(said) == ["id", "username", "access_token"]
    assert said["access_token"] != user["access_token"]
    assert status(billing, user["access_token"], user["id"]) == 401
    assert status(billing, said["access_token"], user["id"]) == 200


@pytest.mark.parametrize("amount", [("--quota", "0"), ("--usd", "0.0000001"), ("--usd", "0")])
def test_a_credit_of_less_than_one_unit_is_refused(
    billing: Billing, amount: tuple[str, str]
) -> None:
    billing.user("alice", 5)
    token = billing.token("alice", "--quota", "5")

    for_user = billing.run("user", "credit", "alice", *amount, status=1)
    for_token = billing.run("token", "credit", str(token["id"]), *amount, status=1)

    assert for_user == for_token == "Error: that is less than one quota unit: nothing to credit\n"
    assert billing.json("user", "show", "alice")["quota"] == 5
    assert billing.json("token", "show", str(token["id"]))["remain_quota"] == 5
