"""`tokens.setting` as Go's encoding/json reads it: what it forbids, and what nobody understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.token_setting import parse_setting


def limit(enabled: object = True, whitelist: Any = ("10.0.0.1",)) -> str:
    ips: dict[str, object] = {"enabled": enabled, "whitelist": whitelist}
    return json.dumps({"limits": {"limits_ip_setting": ips}})


IP = '"limits_ip_setting":{"enabled":true,"whitelist":["a"]}'


@pytest.mark.parametrize(
    ("stored", "whitelist"),
    [
        *[(stored, ()) for stored in (None, "null", "{}", '{"limits":null}', ' {"limits":{}} ')],
        *[(limit(enabled), ()) for enabled in (False, None)],
        (limit(whitelist=[]), ()),
        (limit(whitelist=None), ()),
        ('{"limits":{"enabled":true,"models":["a"]}}', ()),
        (limit(), ("10.0.0.1",)),
        (limit().encode(), ("10.0.0.1",)),
        (limit(whitelist=["", " a ", None]), ("", " a ", "")),
        # The case of a name does not matter, not even that of odd letters.
        (limit().upper().replace("TRUE", "true"), ("10.0.0.1",)),
        (limit().replace("limits_ip_setting", "limit\u017f_ip_setting"), ("10.0.0.1",)),
        # The later member is laid over the earlier one; null changes nothing but a list.
        (f'{{"limits":{{{IP},"limits_ip_setting":{{"enabled":false}}}}}}', ()),
        (f'{{"limits":{{{IP},"Limits_IP_Setting":{{"whitelist":["b"]}}}}}}', ("b",)),
        (f'{{"limits":{{{IP},"limits_ip_setting":{{"enabled":null}}}}}}', ("a",)),
        (f'{{"limits":{{{IP},"limits_ip_setting":{{"whitelist":null}}}}}}', ()),
        (f'{{"limits":{{{IP}}},"limits":null}}', ("a",)),
        (f'{{"limits":{{{IP}}},"billing_tag":"x","heartbeat":{{"timeout_seconds":5}}}}', ("a",)),
    ],
)
def test_the_list_is_the_one_that_the_gateways_read(
    stored: object, whitelist: tuple[str, ...]
) -> None:
    assert parse_setting(stored).whitelist == whitelist


@pytest.mark.parametrize(
    "stored",
    [
        *("", " ", "junk", "[]", '"text"', "0", "true", "{", "{}{}", "{'a':1}", "NaN", "\ufeff{}"),
        *('{"limits":[]}', '{"limits":"x"}', '{"limits":{"limits_ip_setting":[]}}'),
        *(limit(1), limit("true"), limit(whitelist="10.0.0.1"), limit(whitelist=[1])),
        *(limit(False, whitelist="x"), limit(False, whitelist={}), limit(whitelist=[["a"]])),
        *('{"heartbeat":1}', '{"heartbeat":{"timeout_seconds":1.5}}', '{"billing_tag":1}'),
        *('{"limits":{"limit_model_setting":{"models":"x"}}}', '{"limits":' * 100_000),
        *(0, 1.5, b"", b"\xff\xfe", True),
    ],
    ids=lambda stored: repr(stored)[:60],
)
def test_what_the_gateways_cannot_read_is_an_error(stored: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of many kinds, none with a text of its own
        parse_setting(stored)


@pytest.mark.parametrize(
    ("stored", "unknown"),
    [
        (
            '{"limits":{"country":{"enabled":true}}}',
            ("limits.country",),
        ),
        ('{"allowed_hosts":["a"],"x":0}', ("allowed_hosts",)),
        ('{"limits":{"country":{"Enabled":false,"countries":["a"]}}}', ()),
        ('{"allowed_hosts":[],"a":null,"b":false,"c":"","d":{},"limits":{"models":["x"]}}', ()),
        ('{"limits":{"limits_ip_setting":{"deny":true}}}', ("limits.limits_ip_setting.deny",)),
    ],
)
def test_members_that_nobody_knows_are_named(stored: str, unknown: tuple[str, ...]) -> None:
    assert parse_setting(stored).unknown == unknown


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["limits", "limits_ip_setting", "enabled", "whitelist", "x"]), inner
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(values)
def test_any_json_is_a_list_or_an_error(value: Any) -> None:
    try:
        whitelist = parse_setting(json.dumps(value)).whitelist
    except ValueError:
        return

    limits = (value or {}).get("limits") or {}
    ips = limits.get("limits_ip_setting") or {}
    expected = ips.get("whitelist") or () if ips.get("enabled") else ()
    assert whitelist == tuple(entry or "" for entry in expected)
