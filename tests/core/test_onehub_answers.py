"""What a real one-hub answered, against what is answered from the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways import HUBS, Gateway
from tests.support.http_client import bearer

#: Rows by column, and for options and a token: status, limit, access_until, usage.
SAMPLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "support" / "onehub_sample.json").read_text("utf-8")
)
USER = ("id", "username", "status", "quota", "used_quota", "deleted_at")
TOKEN = (
    *("id", "user_id", "key", "status", "name", "expired_time", "remain_quota"),
    *("unlimited_quota", "used_quota", "deleted_at", "setting"),
)

#: What is answered instead, with the default options, by token. None is an empty body there.
Answer = tuple[Any, ...]
INTENDED: dict[int, Answer] = {
    # An unlimited token has its own expiry.
    7: (200, 1000.22469, 4102444800, 32.6234),
    # Expired tokens may read.
    8: (200, 0.6, 1795528558, 0),
    18: (200, 0.6, 0, 0),
    122: (200, 0.602468, 0, 0.2468),
    # Exhausted tokens may read.
    13: (200, 0, 0, 0),
    14: (200, 0.008, 0, 1.2666),
    19: (200, 0.6, 0, 0),
    121: (200, 0.002468, 0, 0.2468),
    # The status of a token has a code of its own, a disabled or missing owner is a 403.
    17: (401, "api_key_disabled"),
    76: (403, "user_disabled"),
    78: (403, "user_disabled"),
    109: (403, "user_disabled"),
    # The owner is tokens.user_id's, not the one in the key.
    100: (403, "user_disabled"),
    101: (200, 0.62, 0, 0),
    # A stored key that one-hub can never accept.
    112: (200, 0.602468, 0, 0.2468),
    # 64 bits do not wrap.
    130: (200, 18446744073709.551616, 0, 0.0002),
    # A setting that cannot be understood refuses by address.
    **dict.fromkeys((134, 135, 136, 140, 141, 142), (403, "ip_not_allowed")),
    **dict.fromkeys((43, 48, 50, 143, 145), (403, "ip_not_allowed")),
    26: (401, "invalid_api_key"),
}

#: A number that is none above 0 counts as absent.
BAD_NUMBERS = {"0", "Inf", "-500000"}
BY_DEFAULT: dict[int, Answer] = {2: (200, 20, 0, 7.1358), 3: (200, 1000.22469, 0, 32.6234)}

#: No database with a type for JSON takes these texts.
NO_JSON = ("", "junk")


def filled(hub: Gateway) -> Gateway:
    for values in SAMPLE["users"]:
        hub.user(**dict(zip(USER, values, strict=True)))
    for values in SAMPLE["tokens"]:
        token = dict(zip(TOKEN, values, strict=True))
        if token["setting"] == "plain":
            token["setting"] = SAMPLE["plain"]
        if hub.kind == "sqlite" or token["setting"] not in NO_JSON:
            hub.token(**token)
    return hub


def answer(client: Any, token_id: int) -> Answer | None:
    """Status and figures, or status and code; None for a token that is not there."""
    key = next(token[2] for token in SAMPLE["tokens"] if token[0] == token_id)
    subscription = client.get("/dashboard/billing/subscription", headers=bearer(key))
    usage = client.get("/v1/dashboard/billing/usage", headers=bearer(key))
    assert subscription.status_code == usage.status_code
    if subscription.status_code != 200:
        return subscription.status_code, subscription.get_json()["error"]["code"]
    body = subscription.get_json()
    return 200, body["hard_limit_usd"], body["access_until"], usage.get_json()["total_usage"]


def is_same(got: Answer | None, expected: Answer) -> bool:
    """Whether the answers are equal, but for the rounding of the gateway's own floats."""
    if got is None or len(got) != len(expected) or got[0] != expected[0]:
        return False
    if got[0] != 200:
        return got == expected
    return list(got) == pytest.approx(list(expected), rel=1e-15)


@pytest.mark.parametrize(
    "hub", [case for case in HUBS if case[0] == "onehub"], ids="-".join, indirect=True
)
def test_the_answers_are_one_hubs_own_but_for_those_that_are_meant_to_differ(hub: Gateway) -> None:
    filled(hub)
    there = {row[0] for row in hub.execute('SELECT "id" FROM "tokens"')}

    differ = {}
    for options, token_id, status, *figures in SAMPLE["answers"]:
        hub.execute('DELETE FROM "options"')
        for key, value in options.items():
            hub.option(key, value)
        expected: Answer = (status, *figures)
        if options.get("QuotaPerUnit") in BAD_NUMBERS:
            expected = BY_DEFAULT[token_id]
        elif not options:
            expected = INTENDED.get(token_id, expected)
        if token_id in there:
            got = answer(hub.client(), token_id)
            if not is_same(got, expected):
                differ[token_id, str(options)] = (got, expected)

    assert differ == {}


def test_no_intended_difference_is_none() -> None:
    real = {token_id: tuple(row) for options, token_id, *row in SAMPLE["answers"] if not options}

    assert [token_id for token_id, row in INTENDED.items() if real[token_id] == row] == []
