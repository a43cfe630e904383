"""one-hub and done-hub: their figures, allow-lists and days, on each kind of database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.test_daily_costs import DAY, START, item, log, query
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

SUBSCRIPTION = "/v1/dashboard/billing/subscription"
USAGE = "/v1/dashboard/billing/usage"
FUTURE = 4102444800

on_sqlite = pytest.mark.parametrize(
    "hub", [("onehub", "sqlite"), ("donehub", "sqlite")], ids="-".join, indirect=True
)


def bodies(hub: Gateway, key: str = KEY, **env: str) -> tuple[Any, Any]:
    client = hub.client(**env)
    return (
        client.get(SUBSCRIPTION, headers=bearer(key)).get_json(),
        client.get(USAGE, headers=bearer(key)).get_json(),
    )


def subscription(limit: float, access_until: int = 0) -> dict[str, Any]:
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": limit,
        "hard_limit_usd": limit,
        "system_hard_limit_usd": limit,
        "access_until": access_until,
    }


def usage(total: float) -> dict[str, Any]:
    return {"object": "list", "total_usage": total}


def test_a_limited_token_shows_its_own_figures(hub: Gateway) -> None:
    hub.token(hub.user(), expired_time=FUTURE)

    assert bodies(hub) == (subscription(0.002, FUTURE), usage(0.05))


def test_an_unlimited_token_shows_the_account_and_its_own_expiry(hub: Gateway) -> None:
    hub.token(hub.user(), unlimited_quota=True, expired_time=FUTURE)
    hub.token(1, key="never", unlimited_quota=True)

    assert bodies(hub) == (subscription(0.002, FUTURE), usage(0.08))
    assert bodies(hub, "never") == (subscription(0.002), usage(0.08))


def test_the_environment_decides_what_unlimited_tokens_show(hub: Gateway) -> None:
    hub.token(hub.user(), unlimited_quota=True)

    there = bodies(hub, UNLIMITED_TOKENS="sentinel")

    assert there == (subscription(100000000.0), usage(0.05))


def test_only_done_hub_shows_the_account_when_the_option_says_so(hub: Gateway) -> None:
    hub.token(hub.user(quota=1_000_000, used_quota=500_000), expired_time=FUTURE)
    hub.option("DisplayTokenStatEnabled", "false")

    if hub.flavour == "donehub":
        assert bodies(hub) == (subscription(3.0), usage(100.0))
    else:
        assert bodies(hub) == (subscription(0.002, FUTURE), usage(0.05))


def test_options_that_they_do_not_read_change_nothing(hub: Gateway) -> None:
    hub.token(hub.user())
    for key, value in {
        "general_setting.quota_display_type": "CNY",
        "quota_display_type": "CNY",
        "USDExchangeRate": "8",
        "PaymentUSDRate": "8",
        "general_setting.custom_currency_exchange_rate": "8",
        "general_setting.custom_currency_symbol": "€",
        "OldTokenMaxId": "0",
    }.items():
        hub.option(key, value)

    assert bodies(hub) == (subscription(0.002), usage(0.05))


@pytest.mark.parametrize(
    ("options", "limit", "total"),
    [
        ({"DisplayInCurrencyEnabled": "false"}, 1000.0, 25000.0),
        ({"DisplayInCurrencyEnabled": "True"}, 1000.0, 25000.0),
        ({"DisplayInCurrencyEnabled": "true", "QuotaPerUnit": "1e6"}, 0.001, 0.025),
        ({"QuotaPerUnit": "250_000"}, 0.004, 0.1),
        *[({"QuotaPerUnit": bad}, 0.002, 0.05) for bad in ("0", "-1", "Inf", "NaN", "", "x", " 5")],
    ],
)
@on_sqlite
def test_options_that_they_read_decide_the_figures(
    hub: Gateway, options: dict[str, str], limit: float, total: float
) -> None:
    hub.token(hub.user())
    for key, value in options.items():
        hub.option(key, value)

    assert bodies(hub) == (subscription(limit), usage(total))


def test_sums_do_not_wrap_and_null_is_zero(hub: Gateway) -> None:
    most = 2**63 - 1
    hub.user()
    hub.token(1, key="most", remain_quota=most, used_quota=most)
    hub.token(1, key="null", remain_quota=None, used_quota=None, unlimited_quota=None)
    hub.token(1, key="debt", remain_quota=-1000, used_quota=500)

    assert bodies(hub, "most") == (subscription(36893488147419.103), usage(1844674407370955.2))
    assert bodies(hub, "null") == (subscription(0.0), usage(0.0))
    assert bodies(hub, "debt") == (subscription(-0.001), usage(0.1))


def test_the_owner_is_the_one_in_the_row(hub: Gateway) -> None:
    hub.user(id=1)
    hub.user(id=2, status=2)
    hub.user(id=3, deleted_at="2026-11-25 21:56:02")
    for number, owner in enumerate((1, 2, 3, 9)):
        hub.token(owner, key=f"key{number}")
    hub.token(1, key="deleted", deleted_at="2026-11-25 21:56:02")
    client = hub.client()

    answers = [
        client.get(USAGE, headers=bearer(key)).status_code
        for key in ("key0", "key1", "key2", "key3", "deleted")
    ]

    assert answers == [200, 403, 403, 403, 401]


def allow(*whitelist: str | None, enabled: object = True) -> str:
    ips = {"enabled": enabled, "whitelist": whitelist}
    models = {"enabled": False, "models": None}
    limits = {"limit_model_setting": models, "limits_ip_setting": ips}
    heartbeat = {"enabled": False, "timeout_seconds": 0}
    return json.dumps({"heartbeat": heartbeat, "limits": limits})


#: The client is 127.0.0.1.
SETTINGS: dict[str | None, int] = {
    None: 200,
    "null": 200,
    "{}": 200,
    allow(): 200,
    allow("10.0.0.1", enabled=False): 200,
    allow("127.0.0.1"): 200,
    allow("junk", "127.0.0.1"): 200,
    allow("127.0.0.0/8"): 200,
    allow("127.9.9.9/8"): 200,
    allow("::ffff:127.0.0.0/104"): 200,
    allow("0.0.0.0/0"): 200,
    allow("10.0.0.1"): 403,
    allow("10.0.0.0/8"): 403,
    allow(" 127.0.0.1"): 403,
    allow("127.0.0.1 "): 403,
    allow("127.0.0.1,10.0.0.1"): 403,
    allow("127.0.0.1-127.0.0.9"): 403,
    allow("*"): 403,
    allow(""): 403,
    allow(None): 403,
    allow("::/0"): 403,
    allow("::ffff:127.0.0.1"): 403,
    allow("127.0.0.1/33"): 403,
    allow("127.0.0.0/255.0.0.0"): 403,
    allow(" 127.0.0.0/8"): 403,
    allow("127.0.0.1", enabled=1): 403,
    '{"limits":[]}': 403,
    "[]": 403,
    '"text"': 403,
    "1": 403,
    '{"LIMITS":{"limits_ip_setting":{"enabled":true,"whitelist":["10.0.0.1"]}}}': 403,
    '{"limits":{"enabled":true,"models":["x"]}}': 200,
}


def test_their_allow_lists_are_enforced(hub: Gateway) -> None:
    hub.user()
    for number, setting in enumerate(SETTINGS):
        hub.token(1, key=f"key{number}", setting=setting)
    client = hub.client()

    answers = [client.get(USAGE, headers=bearer(f"key{n}")) for n in range(len(SETTINGS))]

    codes = {answer.status_code: answer.get_json().get("error", {}) for answer in answers}
    assert dict(zip(SETTINGS, [a.status_code for a in answers], strict=True)) == SETTINGS
    assert codes[403]["code"] == "ip_not_allowed"


@on_sqlite
def test_a_text_that_is_no_json_refuses_everybody(hub: Gateway) -> None:
    hub.user()
    for number, setting in enumerate(["", "junk", "1.5", b"\xff"]):
        hub.token(1, key=f"key{number}", setting=setting)
    hub.token(1, key="bytes", setting=allow("127.0.0.1").encode())
    client = hub.client()
    keys = [*(f"key{number}" for number in range(4)), "bytes"]

    answers = [client.get(USAGE, headers=bearer(key)).status_code for key in keys]

    assert answers == [403, 403, 403, 403, 200]


@on_sqlite
def test_a_list_that_is_too_long_refuses_everybody(hub: Gateway) -> None:
    hub.user()
    others = [f"10.0.0.{number}" for number in range(200)]
    hub.token(1, key="most", setting=allow("127.0.0.1", *others[1:]))
    hub.token(1, key="entries", setting=allow("127.0.0.1", *others))
    hub.token(1, key="length", setting=allow("127.0.0.1") + " " * 10_000)
    client = hub.client()

    answers = [
        client.get(USAGE, headers=bearer(key)).status_code for key in ("most", "entries", "length")
    ]

    assert answers == [200, 403, 403]


@on_sqlite
def test_an_entry_is_the_address_that_the_proxy_gives(hub: Gateway) -> None:
    hub.token(hub.user(), setting=allow("10.1.2.3", "2001:db8::1"))
    client = hub.client(TRUSTED_PROXY_HOPS="1")
    answers = {
        address: client.get(USAGE, headers={**bearer(KEY), "X-Forwarded-For": address}).status_code
        for address in ("10.1.2.3", "8.8.8.8, 10.1.2.3", "10.1.2.3, 8.8.8.8", "2001:DB8:0::1", "x")
    }

    assert list(answers.values()) == [200, 200, 403, 200, 403]


def test_days_are_those_of_their_logs(hub: Gateway) -> None:
    hub.user(id=1)
    hub.token(1, id=2)
    hub.token(1, id=3, key="unlimited", name="free", unlimited_quota=True)
    log(hub, 0, 5000)
    log(hub, DAY - 1, 1000, model_name="GPT-4o")
    log(hub, 0, 250, token_name="free")
    log(hub, 0, 300, user_id=9)
    for other in (1, 3, 4, 5, 6):
        log(hub, 0, 700, type=other)
    client = hub.client()

    token = client.get(query(0, 1), headers=bearer(KEY))
    account = client.get(query(0, 1), headers=bearer("unlimited"))

    assert token.get_json() == {
        "object": "list",
        "total_usage": 0.05,
        "daily_costs": [
            {
                "timestamp": START,
                "line_items": [item("gpt-4o", 1.0), item("GPT-4o", 0.2)],
            }
        ],
        "period_usage": 1.2,
        "period_refunded": 0.0,
    }
    assert account.get_json() == {
        "object": "list",
        "total_usage": 0.08,
        "daily_costs": [
            {
                "timestamp": START,
                "line_items": [item("gpt-4o", 1.05, 2), item("GPT-4o", 0.2)],
            }
        ],
        "period_usage": 1.25,
        "period_refunded": 0.0,
    }


def test_an_account_has_one_grant(hub: Gateway) -> None:
    hub.user(id=1)
    token_id = hub.token(1)
    hub.token(1, key="unlimited", unlimited_quota=True, expired_time=FUTURE)
    hub.insert("redemptions", id=1, user_id=1, key="c", status=3, quota=300, redeemed_time=5)
    client = hub.client()

    token = client.get("/dashboard/billing/credit_grants", headers=bearer(KEY))
    account = client.get("/dashboard/billing/credit_grants", headers=bearer("unlimited"))

    assert token.get_json() == {
        "object": "credit_summary",
        "total_granted": 0.002,
        "total_used": 0.0005,
        "total_available": 0.0015,
        "grants": {
            "object": "list",
            "data": [
                {
                    "object": "credit_grant",
                    "id": f"token-{token_id}",
                    "grant_amount": 0.002,
                    "used_amount": 0.0005,
                    "effective_at": 0,
                    "expires_at": 0,
                }
            ],
        },
        "token_available": 0.0015,
        "account_available": 0.0012,
    }
    assert account.get_json() == {
        "object": "credit_summary",
        "total_granted": 0.002,
        "total_used": 0.0008,
        "total_available": 0.0012,
        "grants": {
            "object": "list",
            "data": [
                {
                    "object": "credit_grant",
                    "id": "account-1",
                    "grant_amount": 0.002,
                    "used_amount": 0.0008,
                    "effective_at": 0,
                    "expires_at": 0,
                    "source": "wallet",
                }
            ],
        },
    }
