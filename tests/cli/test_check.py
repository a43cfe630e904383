"""`flask check`: what an operator runs first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway, not_on_hubs, open_gateway


def check(app: Any, *arguments: str, **more: Any) -> tuple[int, dict[str, Any]]:
    result = app.test_cli_runner().invoke(args=["check", "--json", *arguments], **more)
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def sqlite_newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        yield gateway


FLAVOURS = {
    "newapi": "new-api, v0.10.8 or later",
    "newapi_old": "new-api, v0.4 to v0.8",
    "oneapi": "one-api",
    "onehub": "one-hub, v0.14.16 or later",
    "donehub": "done-hub, v1.22 or later",
}


def test_it_names_the_gateway_and_counts(gateway: Gateway) -> None:
    gateway.token(gateway.user())
    gateway.token(1, key="Other")
    gateway.insert("logs", id=1, user_id=1, type=2, created_at=1, quota=400)

    _, report = check(gateway.app())

    assert report["serves"] is True
    assert report["gateway"] == FLAVOURS[gateway.flavour]
    assert (report["users"], report["tokens"]) == (1, 2)


#: Columns and tables that later versions added, newest first, and the name without them.
OLDER_HUBS = {
    "donehub": [
        ("statistics.cost_quota", "done-hub, v1.3.0 to v1.21"),
        ("invite_codes", "done-hub, v1.3.0 to v1.21"),
        ("users.linuxdo_id", "one-hub, v0.14.16 or later"),
    ],
    "onehub": [
        ("user_groups", "one-hub, v0.14.16 or later"),
    ],
}


@pytest.mark.parametrize(
    "hub", [("onehub", "sqlite"), ("donehub", "sqlite")], ids="-".join, indirect=True
)
def test_older_versions_of_the_hubs_are_recognised(hub: Gateway) -> None:
    for lacking, name in OLDER_HUBS[hub.flavour]:
        table, _, column = lacking.partition(".")
        if column:
            hub.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
        else:
            hub.execute(f'DROP TABLE "{table}"')

        _, report = check(hub.app())

        assert report["gateway"] == name, lacking


@pytest.mark.parametrize("hub", [("onehub", "sqlite")], ids="-".join, indirect=True)
def test_a_one_hub_without_settings_is_recognised(hub: Gateway) -> None:
    hub.execute('ALTER TABLE "tokens" DROP COLUMN "setting"')
    hub.token(hub.user(), unlimited_quota=True)
    # Left behind by a migration from one-api; proves nothing.
    hub.execute('ALTER TABLE "tokens" ADD COLUMN "subnet" TEXT')

    _, report = check(hub.app())

    assert report["gateway"] == "one-hub, v0.13.0 to v0.14.15"
    assert hub.read("usage") == {"object": "list", "total_usage": 0.08}


def test_it_says_that_the_gateway_itself_shows_accounts(hub: Gateway) -> None:
    hub.user(id=1)
    token_id = hub.token(1, unlimited_quota=True, setting=RESTRICTED)

    _, report = check(hub.app(), "--token-id", str(token_id))

    assert report["settings"]["UNLIMITED_TOKENS"] == {"value": "account", "from": "gateway"}
    assert report["token"]["why"] == "shows the account's figures"
    assert report["token"]["allow_list"] == ["127.0.0.1", "10.0.0.0/8"]


RESTRICTED = json.dumps(
    {
        "limits": {
            "limits_ip_setting": {"enabled": True, "whitelist": ["127.0.0.1", "10.0.0.0/8"]},
            "limits_country_setting": {"enabled": True, "countries": ["DE"]},
            "limit_model_setting": {"enabled": True, "models": ["a"]},
        },
        "allowed_hosts": ["a.example"],
        "denied_hosts": [],
        "theme": "dark",
    }
)


def test_it_names_restrictions_that_are_not_enforced(hub: Gateway) -> None:
    hub.user(id=1)
    hub.token(1, setting=RESTRICTED)
    hub.token(1, key="other", setting="[]")
    hub.token(1, key="none", setting=None)
    hub.token(1, key="long", setting=json.dumps({"billing_tag": "x" * 10_000}))
    hub.execute('ALTER TABLE "tokens" ADD COLUMN "deny_ips" VARCHAR(9)')
    hub.execute('ALTER TABLE "tokens" ADD COLUMN "colour" VARCHAR(9)')

    status, report = check(hub.app())

    assert status == 1
    assert [text for text in report["warnings"] if text.startswith("tokens.")] == [
        "tokens.deny_ips is not known and not enforced, if it restricts a token",
        "tokens.setting: allowed_hosts is not known and not enforced, if it restricts a token",
        "tokens.setting: limits.limits_country_setting is not known and not enforced,"
        " if it restricts a token",
        "tokens.setting: 1 texts are too long: their tokens are refused",
        "tokens.setting: 1 texts cannot be understood: their tokens are refused",
    ]


def test_no_gateway_of_today_has_restrictions_that_are_unknown(gateway: Gateway) -> None:
    gateway.token(gateway.user())

    _, report = check(gateway.app())

    assert [text for text in report["warnings"] if text.startswith("tokens.")] == []


def test_it_says_where_each_setting_comes_from(newapi: Gateway) -> None:
    newapi.option("QuotaPerUnit", "250000")
    newapi.option("USDExchangeRate", "none")

    status, report = check(newapi.app(DISPLAY_UNIT="CNY"))

    assert report["settings"]["QUOTA_PER_UNIT"] == {"value": "250000", "from": "options"}
    assert report["settings"]["DISPLAY_UNIT"] == {"value": "CNY", "from": "environment"}
    assert report["settings"]["USD_EXCHANGE_RATE"] == {"value": "7.3", "from": "default"}
    assert status == 1
    assert "the option for USD_EXCHANGE_RATE is no number above 0" in report["warnings"]


def test_it_warns_of_what_will_be_slow_or_missing(newapi: Gateway) -> None:
    newapi.user(used_quota=5)
    table = " ON tokens" if newapi.dialect == "mysql" else ""
    newapi.execute(f"DROP INDEX idx_tokens_key{table}")

    status, report = check(newapi.app())

    assert status == 1
    assert "tokens has no index that begins with key: reads will be slow" in report["warnings"]
    assert (
        "logs is empty although quota was used: set LOG_DATABASE_URL if they are elsewhere"
        in report["warnings"]
    )


def test_it_warns_of_an_account_that_could_write(newapi: Gateway) -> None:
    _, report = check(newapi.app())

    warning = "the account could write: give the service one that may only SELECT"
    assert (warning in report["warnings"]) == (newapi.kind != "sqlite")


def test_clickhouse_logs_are_no_reason_not_to_serve(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    env = {"LOG_DATABASE_URL": "clickhouse://ch:9000/logs"}

    _, report = check(newapi.app(**env))

    assert report["serves"] is True
    assert "logs in ClickHouse are not supported: all but daily costs works" in report["warnings"]
    assert newapi.read("usage", **env) == {"object": "list", "total_usage": 0.05}


@pytest.mark.parametrize(
    ("values", "answer", "why"),
    [
        ({}, "200", "shows the token's figures"),
        ({"expired_time": 1700000000}, "200", "shows the token's figures; expired"),
        ({"remain_quota": 0}, "200", "shows the token's figures; exhausted"),
        ({"status": 2}, "401 api_key_disabled", "its status is 2: switched off"),
        ({"user_id": 9}, "403 user_disabled", "its user is switched off, deleted or missing"),
    ],
)
def test_it_explains_a_token(
    newapi: Gateway, values: dict[str, Any], answer: str, why: str
) -> None:
    token_id = newapi.token(**{"user_id": newapi.user(), **values})

    _, by_id = check(newapi.app(), "--token-id", str(token_id))
    _, by_key = check(newapi.app(), "--key", input=f"sk-{KEY}-5\n")

    assert (by_id["token"]["answer"], by_id["token"]["why"]) == (answer, why)
    assert by_key["token"] == by_id["token"]
    assert KEY not in json.dumps(by_key)


@pytest.mark.parametrize("typed", [f"Bearer sk-{KEY}", f"bearer\t{KEY}", f"  Bearer   sk-{KEY} "])
def test_a_key_is_taken_in_the_spellings_that_the_service_takes(
    sqlite_newapi: Gateway, typed: str
) -> None:
    sqlite_newapi.token(sqlite_newapi.user())

    _, report = check(sqlite_newapi.app(), "--key", input=f"{typed}\n")

    assert report["token"]["answer"] == "200"


def test_an_unknown_key_is_explained(newapi: Gateway) -> None:
    _, report = check(newapi.app(), "--key", input="sk-nobody\n")

    assert report["token"]["answer"] == "401 invalid_api_key"


def test_a_database_that_is_away_cannot_serve(newapi: Gateway) -> None:
    newapi.execute('ALTER TABLE "tokens" RENAME TO "gone"')

    result = newapi.app().test_cli_runner().invoke(args=["check"])

    assert result.exit_code == 2
    assert result.stderr == ("cannot serve: the database has no table tokens: it is no gateway's\n")


def test_our_own_database_is_not_to_be_attached(sqlite_billing: Billing) -> None:
    key = sqlite_billing.token(sqlite_billing.user()["username"])["key"]
    app = sqlite_billing.make_app(BILLING_MODE="attached")

    result = app.test_cli_runner().invoke(args=["check"])
    answer = app.test_client().get(
        "/dashboard/billing/usage", headers={"Authorization": f"Bearer {key}"}
    )

    assert result.exit_code == 2
    assert "the database is our own" in result.stderr
    assert answer.status_code == 500


@pytest.mark.parametrize("newapi", ["sqlite", "mariadb", "mysql"], indirect=True)
def test_a_gateways_database_is_not_served_as_our_own(newapi: Gateway) -> None:
    newapi.token(newapi.user())

    answer = newapi.client(BILLING_MODE="embedded").get(
        "/dashboard/billing/usage", headers={"Authorization": KEY}
    )

    assert answer.status_code == 500


def test_our_own_database_is_checked_as_well(billing: Billing) -> None:
    token = billing.token(billing.user()["username"], "--quota", "500000")

    status, report = check(billing.app, "--token-id", str(token["id"]))

    assert (status, report["mode"], report["users"], report["tokens"]) == (0, "embedded", 1, 1)
    assert report["token"]["hard_limit_usd"] == 1


def test_logs_that_cannot_be_reached_are_a_warning(newapi: Gateway) -> None:
    env = {"LOG_DATABASE_URL": "mysql://u:p@127.0.0.1:1/logs"}

    status, report = check(newapi.app(**env))

    assert status == 1
    assert any("daily costs are 503" in warning for warning in report["warnings"])


@not_on_hubs
def test_a_token_with_too_long_an_allow_list_is_named(gateway: Gateway) -> None:
    column, separator = ("subnet", ",") if gateway.flavour == "oneapi" else ("allow_ips", "\n")
    if gateway.dialect == "mysql":
        # The stand-in's column is too short for such a list.
        gateway.execute(f'ALTER TABLE "tokens" MODIFY "{column}" longtext')
    right, wrong = (separator.join(["10.0.0.0/8"] * count) for count in (200, 201))
    longest = gateway.token(gateway.user(), key="Longest", **{column: right})

    _, report = check(gateway.app(), "--token-id", str(longest))
    too_long = gateway.token(1, key="TooLong", **{column: wrong})
    status, warned = check(gateway.app(), "--token-id", str(too_long))

    assert report["token"]["answer"] == "200"
    assert not [warning for warning in report["warnings"] if "allow-list" in warning]
    assert status == 1
    assert (
        "tokens whose allow-list is too long and allows no address: 1,"
        f" the first is {too_long} (at most 200 networks, 10000 characters)"
    ) in warned["warnings"]
    assert warned["token"]["answer"] == "403 ip_not_allowed"
