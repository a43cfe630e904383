"""Recording usage: token, user, log and hour agree to the unit, on each kind of server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from billing.core.recording import RecordResult, Usage, record
from billing.database import schema
from billing.database.connection import Database
from tests.support.application import Billing
from tests.support.http_client import bearer

AT = 1_700_000_000
HOUR = AT - AT % 3600


@pytest.fixture
def ready(billing: Billing) -> Billing:
    """With one user of 1000 and one token of 100, number 1."""
    billing.user("alice", 1000)
    billing.token("alice", "--quota", "100")
    return billing


def recorded(billing: Billing, *usages: Usage) -> RecordResult:
    database = Database(billing.app.extensions["billing"].settings.database_url, 10, "write")
    try:
        with database.peewee.bind_ctx(schema.MODELS):
            return record(database.peewee, usages)
    finally:
        database.close()


def balances(billing: Billing) -> tuple[Any, ...]:
    """The token's remaining and used, the user's quota, used and requests."""
    [row] = billing.execute(
        "SELECT remain_quota, tokens.used_quota, quota, users.used_quota, request_count"
        " FROM tokens, users"
    )
    return row


def logs(billing: Billing) -> list[tuple[Any, ...]]:
    return billing.execute(
        "SELECT user_id, username, token_id, token_name, type, model_name, quota, prompt_tokens,"
        " completion_tokens, created_at, request_id FROM logs WHERE type <> 1 ORDER BY id"
    )


def hours(billing: Billing) -> list[tuple[Any, ...]]:
    return billing.execute(
        "SELECT user_id, username, token_id, model_name, created_at, quota, token_used, count,"
        " prompt_tokens, completion_tokens, refunded"
        " FROM quota_data ORDER BY created_at, model_name"
    )


def test_a_use_changes_token_user_log_and_hour(ready: Billing) -> None:
    result = recorded(ready, Usage(1, "gpt-4o", 30, 5, 6, AT, "r"))

    assert result == RecordResult(recorded=1)
    assert balances(ready) == (70, 30, 970, 30, 1)
    assert logs(ready) == [(1, "alice", 1, "default", 2, "gpt-4o", 30, 5, 6, AT, "r")]
    assert hours(ready) == [(1, "alice", 1, "gpt-4o", HOUR, 30, 11, 1, 5, 6, 0)]


def test_uses_of_an_hour_and_model_share_a_row(ready: Billing) -> None:
    recorded(ready, Usage(1, "m", 1, 2, 3, HOUR), Usage(1, "m", 4, 5, 6, HOUR + 3599))
    recorded(ready, Usage(1, "m", 7, 8, 9, HOUR), Usage(1, "n", 1, at=HOUR))
    recorded(ready, Usage(1, "m", 2, at=HOUR + 3600))

    assert hours(ready) == [
        (1, "alice", 1, "m", HOUR, 12, 33, 3, 15, 18, 0),
        (1, "alice", 1, "n", HOUR, 1, 0, 1, 0, 0, 0),
        (1, "alice", 1, "m", HOUR + 3600, 2, 0, 1, 0, 0, 0),
    ]


def test_a_refund_takes_back_all_but_the_request(ready: Billing) -> None:
    use = Usage(1, "m", 30, 5, 6, AT, "r")
    recorded(ready, use)

    result = recorded(ready, use._replace(refund=True))

    assert result == RecordResult(recorded=1)
    assert balances(ready) == (100, 0, 1000, 0, 1)
    assert [row[4:7] for row in logs(ready)] == [(2, "m", 30), (6, "m", 30)]
    assert hours(ready) == [(1, "alice", 1, "m", HOUR, 0, 0, 1, 0, 0, 30)]


def test_overspending_is_recorded_and_the_token_still_answered(ready: Billing) -> None:
    key = ready.token("alice", "--quota", "10")["key"]

    said = ready.json("usage", "record", "2", "--model", "m", "--quota", "25")

    assert said == {"recorded": 1, "skipped": 0}
    token = ready.json("token", "show", "2")
    assert (token["remain_quota"], token["used_quota"]) == (-15, 25)
    answer = ready.client().get("/v1/dashboard/billing/usage", headers=bearer(key))
    assert (answer.status_code, answer.json) == (200, {"object": "list", "total_usage": 0.005})


def test_an_unlimited_token_counts_its_use(ready: Billing) -> None:
    key = ready.token("alice", "--unlimited")["key"]

    ready.run("usage", "record", "2", "--model", "m", "--usd", "1.5")

    assert ready.json("token", "show", "2")["used_quota"] == 750_000
    answer = ready.client().get("/v1/dashboard/billing/usage", headers=bearer(key))
    assert answer.json == {"object": "list", "total_usage": 150.0}


@pytest.mark.parametrize(
    "ended",
    ["token disable 1", "token revoke 1", "token edit 1 --expires 2020-01-01", "user delete alice"],
)
def test_what_an_ended_token_used_is_still_recorded(ready: Billing, ended: str) -> None:
    ready.run(*ended.split())

    said = ready.json("usage", "record", "1", "--model", "m", "--quota", "5")

    assert said == {"recorded": 1, "skipped": 0}
    assert balances(ready) == (95, 5, 995, 5, 1)


def test_a_use_without_a_time_is_of_now(ready: Billing) -> None:
    before = int(time.time())

    ready.run("usage", "record", "1", "--model", "m", "--quota", "5")

    [(created_at,)] = ready.execute("SELECT created_at FROM logs WHERE type = 2")
    assert before <= created_at <= time.time()
    assert [row[4] for row in hours(ready)] == [created_at - created_at % 3600]


def test_a_request_is_recorded_once_however_often_it_comes(ready: Billing) -> None:
    use = Usage(1, "m", 5, at=AT, request_id="r")
    recorded(ready, use)

    again = recorded(ready, use, use, use._replace(at=None))

    assert again == RecordResult(skipped=3)
    assert balances(ready) == (95, 5, 995, 5, 1)


def test_within_a_batch_too(ready: Billing) -> None:
    use = Usage(1, "m", 5, request_id="r")

    result = recorded(ready, use, use, use._replace(quota=6), use._replace(refund=True))

    assert result == RecordResult(2, 1, [(2, "its request_id has other content already")])
    assert balances(ready) == (100, 0, 1000, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"token_id": 2},
        {"model": "n"},
        {"quota": 6},
        {"prompt_tokens": 1},
        {"completion_tokens": 1},
        {"at": AT + 1},
    ],
)
def test_a_request_id_with_other_content_is_refused(ready: Billing, change: dict[str, Any]) -> None:
    ready.token()
    use = Usage(1, "m", 5, at=AT, request_id="r")
    recorded(ready, use)

    result = recorded(ready, use._replace(**change))

    assert result == RecordResult(bad=[(0, "its request_id has other content already")])
    assert len(logs(ready)) == 1


def test_the_command_says_so_in_one_line(ready: Billing) -> None:
    command = ["usage", "record", "1", "--model", "m", "--request-id", "r"]
    ready.run(*command, "--quota", "5")

    again = ready.json(*command, "--quota", "5")
    other = ready.run(*command, "--quota", "6", status=1)
    unknown = ready.run("usage", "record", "9", "--model", "m", "--quota", "5", status=1)

    assert again == {"recorded": 0, "skipped": 1}
    assert other == "Error: its request_id has other content already\n"
    assert unknown == "Error: no token 9\n"


def test_a_balance_never_outgrows_its_column(ready: Billing) -> None:
    ready.execute("UPDATE tokens SET used_quota = ?", 2**62 - 5)
    use = Usage(1, "m", 3)
    much = use._replace(request_id="r")

    result = recorded(ready, use, much, much, use._replace(quota=2))

    reason = "the balance cannot hold that amount"
    assert result == RecordResult(2, 0, [(1, reason), (2, reason)])
    assert balances(ready)[1] == 2**62
