"""`flask token …`: what each command prints, and what clients of the service see of it."""

from __future__ import annotations

import re
import time
from unittest import mock

import pytest

from tests.support.application import Billing
from tests.support.http_client import bearer

SUBSCRIPTION = "/v1/dashboard/billing/subscription"


def status(billing: Billing, key: str, address: str = "127.0.0.1") -> int:
    return (
        billing.client()
        .get(SUBSCRIPTION, headers=bearer(key), environ_base={"REMOTE_ADDR": address})
        .status_code
    )


def limits(billing: Billing, key: str) -> tuple[float, int]:
    body = billing.client().get(SUBSCRIPTION, headers=bearer(key)).get_json()
    return body["hard_limit_usd"], body["access_until"]


def test_a_new_token_is_shown_with_its_key_once(billing: Billing) -> None:
    billing.user("alice", 99)

    made = billing.json(
        *("token", "add", "alice", "--name", "手机", "--usd", "2", "--expires", "2099-01-01"),
        *("--allow-ip", "10.0.0.0/8", "--allow-ip", "127.0.0.1"),
    )

    assert list(made) == [
        "id",
        "user_id",
        "name",
        "status",
        "remain_quota",
        "used_quota",
        "unlimited_quota",
        "expired_time",
        "allow_ips",
        "created_time",
        "key",
    ]
    assert made == {
        "id": 1,
        "user_id": 1,
        "name": "手机",
        "status": 1,
        "remain_quota": 1_000_000,
        "used_quota": 0,
        "unlimited_quota": False,
        "expired_time": 4_070_908_800,
        "allow_ips": ["10.0.0.0/8", "127.0.0.1"],
        "created_time": mock.ANY,
        "key": mock.ANY,
    }
    assert re.fullmatch("sk-[A-Za-z0-9]{48}", made["key"])
    assert limits(billing, made["key"]) == (2.0, 4_070_908_800)


def test_a_tokens_quota_is_a_cap_that_takes_nothing_from_the_wallet(billing: Billing) -> None:
    billing.user("alice", 99)

    billing.token("alice", "--name", "n", "--quota", "50")
    said = billing.json("token", "credit", "1", "--quota", "7")

    assert said["remain_quota"] == 57
    assert billing.json("user", "show", "alice")["quota"] == 99
    logged = billing.execute(
        "SELECT user_id, username, type, quota, token_id, token_name FROM logs ORDER BY id"
    )
    assert logged == [
        (1, "alice", 1, 99, 0, ""),
        (1, "alice", 1, 50, 1, "n"),
        (1, "alice", 1, 7, 1, "n"),
    ]


def test_an_unlimited_token_has_no_cap(billing: Billing) -> None:
    billing.user()

    made = billing.token("alice", "--unlimited")

    assert made["unlimited_quota"] is True
    assert made["name"] == "default"
    assert made["expired_time"] == -1
    assert limits(billing, made["key"]) == (100_000_000, 0)
    assert billing.execute("SELECT id FROM logs") == []


@pytest.mark.parametrize(("text", "seconds"), [("+30d", 30 * 86400), ("+2h", 7200), ("+5m", 300)])
def test_a_token_may_expire_some_time_from_now(billing: Billing, text: str, seconds: int) -> None:
    billing.user()
    before = int(time.time())

    made = billing.token("alice", "--expires", text)

    assert before <= made["expired_time"] - seconds <= time.time()


def test_a_token_is_shown_as_names_and_values(billing: Billing) -> None:
    billing.user()
    made = billing.token("alice", "--quota", "5", "--allow-ip", "::1", "--allow-ip", "10.0.0.1")

    assert billing.run("token", "show", "1") == (
        "id               1\n"
        "user_id          1\n"
        "name             default\n"
        "status           1\n"
        "remain_quota     5\n"
        "used_quota       0\n"
        "unlimited_quota  False\n"
        "expired_time     -1\n"
        "allow_ips        ::1 10.0.0.1\n"
        f"created_time     {made['created_time']}\n"
    )


def test_tokens_are_listed_of_all_or_of_one_user(billing: Billing) -> None:
    billing.user("alice")
    billing.user("bob")
    first, second = billing.token("alice"), billing.token("bob", "--allow-ip", "::1")
    billing.token("bob")
    billing.run("token", "revoke", "3")
    del first["key"], second["key"]

    everyone, bobs = billing.json("token", "list"), billing.json("token", "list", "bob")

    assert everyone == [first, second]
    assert bobs == [second]
    assert billing.run("token", "list", "bob") == (
        "id  user_id  name     status  remain_quota  used_quota  unlimited_quota  expired_time  "
        "allow_ips  created_time\n"
        "2   2        default  1       0             0           False            -1            "
        f"::1        {second['created_time']}\n"
    )


def test_a_disabled_token_is_refused_at_once_until_enabled(billing: Billing) -> None:
    billing.user()
    key = billing.token()["key"]
    before = status(billing, key)

    disabled = billing.json("token", "disable", "1")

    assert before == 200
    assert disabled["status"] == 2
    assert status(billing, key) == 401
    assert billing.json("token", "enable", "1")["status"] == 1
    assert status(billing, key) == 200


def test_a_revoked_token_never_comes_back_but_its_row_stays(billing: Billing) -> None:
    billing.user()
    key = billing.token("alice", "--quota", "5")["key"]

    revoked = billing.json("token", "revoke", "1")

    assert revoked["id"] == 1
    assert status(billing, key) == 401
    for command in ("show", "enable", "revoke"):
        output = billing.run("token", command, "1", status=1)
        assert output == "Error: no token 1: `flask token list` shows them\n"
    assert billing.execute("SELECT remain_quota FROM tokens") == [(5,)]


def test_edit_changes_what_is_named_and_nothing_else(billing: Billing) -> None:
    billing.user()
    made = billing.token("alice", "--quota", "5", "--allow-ip", "10.0.0.0/8")
    key = made.pop("key")

    renamed = billing.json("token", "edit", "1", "--name", "laptop")
    ending = billing.json("token", "edit", "1", "--expires", "2099-01-01")
    moved = billing.json("token", "edit", "1", "--allow-ip", "192.0.2.1", "--allow-ip", "::1")

    assert renamed == {**made, "name": "laptop"}
    assert ending == {**renamed, "expired_time": 4_070_908_800}
    assert moved == {**ending, "allow_ips": ["192.0.2.1", "::1"]}
    assert [status(billing, key, address) for address in ("10.0.0.1", "192.0.2.1", "::1")] == [
        403,
        200,
        200,
    ]
    free = billing.json("token", "edit", "1", "--any-ip", "--expires", "never")
    assert free == {**renamed, "allow_ips": []}
    assert status(billing, key, "10.0.0.1") == 200


def test_a_tokens_cap_never_outgrows_its_column(billing: Billing) -> None:
    billing.user()
    billing.token("alice", "--quota", "5")
    billing.execute("UPDATE tokens SET remain_quota = ?", 2**62)

    output = billing.run("token", "credit", "1", "--quota", "1", status=1)

    assert output == "Error: that would be more quota than a balance can hold\n"
    assert billing.json("token", "show", "1")["remain_quota"] == 2**62


def test_a_credited_token_is_no_longer_exhausted(billing: Billing) -> None:
    billing.user()
    key = billing.token("alice", "--quota", "5")["key"]
    billing.run("usage", "record", "1", "--model", "m", "--quota", "500005")

    billing.run("token", "credit", "1", "--usd", "3")

    assert billing.json("token", "show", "1")["remain_quota"] == 1_000_000
    assert limits(billing, key) == (3.00001, 0)
