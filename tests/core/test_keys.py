"""Which token a presented value finds: whole first, without the channel behind it after that."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.credentials import find_token
from billing.core.service import Service
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

USAGE = "/v1/dashboard/billing/usage"

#: As one-hub makes them: ids, `_`, and a signature in base64url, which often holds `-`.
HUB_KEY = "4tOplIoAizKHPhj_HQb749Ahqw1k-XiBkIvuD3khvmD3EascnZEQqQqV7tQ"

on_sqlite = pytest.mark.parametrize("gateway", [("oneapi", "sqlite")], ids="-".join, indirect=True)


def statuses(gateway: Gateway, values: Iterable[str]) -> dict[str, int]:
    client = gateway.client()
    return {value: client.get(USAGE, headers=bearer(value)).status_code for value in values}


def test_a_key_of_a_hub_is_found_with_and_without_a_channel(hub: Gateway) -> None:
    hub.token(hub.user(), key=HUB_KEY)
    values = [HUB_KEY + channel for channel in ("", "#1", "#", "#!1", "#1#ignore", "#1-2")]

    assert statuses(hub, values) == dict.fromkeys(values, 200)


def test_what_only_resembles_a_key_is_unknown(hub: Gateway) -> None:
    hub.token(hub.user(), key=HUB_KEY)
    values = [
        *(HUB_KEY.partition("-")[0], HUB_KEY[:-1], HUB_KEY + "x", HUB_KEY[:48], HUB_KEY + "-1"),
        *(HUB_KEY.swapcase(), HUB_KEY.lower() + "#1", HUB_KEY + " #1", "#" + HUB_KEY, "#", "-"),
    ]

    assert statuses(hub, values) == dict.fromkeys(values, 401)


def test_a_key_may_hold_a_blank(gateway: Gateway) -> None:
    gateway.user()
    keys = ["two words", "a  b", "x y-z", "x #y"]
    for key in [*keys, "two"]:
        gateway.token(1, key=key)
    others = ["TWO WORDS", "a b", "x y", "words", "two  words"]

    answers = statuses(gateway, keys + others)

    assert answers == {**dict.fromkeys(keys, 200), **dict.fromkeys(others, 401)}


def test_the_longest_stored_part_is_the_key(gateway: Gateway) -> None:
    gateway.user()
    figures = {"a-b#c": 500, "a-b": 1000, "a": 1500}
    for key, used in figures.items():
        gateway.token(1, key=key, used_quota=used)
    client = gateway.client()

    found = {
        value: client.get(USAGE, headers=bearer(value)).get_json()["total_usage"]
        for value in ("a-b#c", "a-b#d", "a-b", "a-c#b", "a#b", "a")
    }

    assert found == {"a-b#c": 0.1, "a-b#d": 0.2, "a-b": 0.2, "a-c#b": 0.3, "a#b": 0.3, "a": 0.3}


@pytest.mark.parametrize(
    ("value", "reads"),
    [
        (KEY, 1),
        (f"{KEY}-5", 1),
        (f"{KEY}#5", 1),
        ("no-such#key", 1),
        ("none", 1),
        ("-", 1),
        ("é", 0),
    ],
)
@on_sqlite
def test_a_value_costs_one_read_known_or_not(gateway: Gateway, value: str, reads: int) -> None:
    gateway.token(gateway.user())
    app = gateway.app()
    client = app.test_client()
    client.get(USAGE, headers=bearer(KEY))
    statements: list[str] = []
    app.extensions["billing"].database.peewee.connection().set_trace_callback(statements.append)

    client.get(USAGE, headers=bearer(value))

    assert len(statements) == reads


TEXTS = st.text("aA-# ", max_size=7)


@st.composite
def tables_and_values(draw: st.DrawFn) -> tuple[set[str], str]:
    """Stored keys, some of which begin another, and a value that begins with one or with none."""
    word = draw(TEXTS) + draw(TEXTS)
    beginnings = [word[:length].strip() for length in range(1, len(word) + 1)] or ["a"]
    keys = draw(st.sets(st.sampled_from(beginnings) | TEXTS.map(str.strip), max_size=6)) - {""}
    value = draw(st.sampled_from(["", "sk-"])) + draw(st.sampled_from([word, ""])) + draw(TEXTS)
    return keys, value.strip()


RULE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def store(gateway: Gateway, keys: Iterable[str]) -> None:
    gateway.execute('DELETE FROM "tokens"')
    for number, key in zip(itertools.count(1), sorted(keys)):
        gateway.execute(
            'INSERT INTO "tokens" ("id", "user_id", "key") VALUES (?, ?, ?)', number, 1, key
        )


def found_key(gateway: Gateway, value: str) -> str | None:
    if not gateway.apps:
        gateway.app()
    service: Service = gateway.apps[0].extensions["billing"]
    service.start_request()
    token = find_token(service, value)
    return token.key if token else None


@pytest.mark.parametrize("mark", ["-", "#"])
@on_sqlite
@RULE
@given(drawn=tables_and_values())
def test_a_value_finds_the_token_that_the_gateway_finds(
    gateway: Gateway, mark: str, drawn: tuple[set[str], str]
) -> None:
    # new-api and one-api cut at `-`, one-hub and done-hub at `#`: no key that works there holds it.
    keys, value = {key for key in drawn[0] if mark not in key}, drawn[1]
    there = value.removeprefix("sk-").partition(mark)[0]
    store(gateway, keys)

    found = found_key(gateway, value)

    if there in keys:
        assert found == there


@on_sqlite
@RULE
@given(drawn=tables_and_values())
def test_nobody_is_found_by_less_than_the_whole_key(
    gateway: Gateway, drawn: tuple[set[str], str]
) -> None:
    keys, value = drawn
    store(gateway, keys)

    found = found_key(gateway, value)

    if found is not None:
        rest = value.removeprefix("sk-").removeprefix(found)
        assert value.removeprefix("sk-") == found + rest
        assert rest == "" or rest[0] in "-#"
