"""Tokens' allow-lists: one address or network a line, and whose address counts."""

from __future__ import annotations

import time

import pytest

from billing.web.allow_list import _Cache, _parse_allow_ips
from tests.support.application import Billing, TwoUsers, error_code
from tests.support.http_client import bearer

ALLOWED: list[tuple[str, str]] = [
    ("", "192.0.2.7"),
    (" \n\t\r\n", "192.0.2.7"),
    (" \n", ""),
    ("192.0.2.7", "192.0.2.7"),
    ("10.0.0.1\r\n 192.0.2.7 ,\n", "192.0.2.7"),
    ("192.0.2.0/24", "192.0.2.255"),
    ("192.0.2.99/24", "192.0.2.7"),
    ("junk\n10.0.0.0/33\n192.0.2.7", "192.0.2.7"),
    ("192.0.2.7", "::ffff:192.0.2.7"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("::ffff:192.0.2.0/120", "192.0.2.7"),
    ("2001:db8::1", "2001:DB8:0::1"),
    ("2001:db8::99/32", "2001:db8:ffff::1"),
    ("::/0", "2001:db8::1"),
    ("10.0.0.1\n" * 199 + "192.0.2.7", "192.0.2.7"),
    ("192.0.2.7" + " " * 9_991, "192.0.2.7"),
]
REFUSED: list[tuple[str, str]] = [
    ("192.0.2.7", "192.0.2.8"),
    ("192.0.2.0/24", "192.0.3.0"),
    ("junk", "192.0.2.7"),
    ("junk", "junk"),
    ("0.0.0.0/0", ""),
    ("0.0.0.0/0\n::/0", "unknown"),
    ("0.0.0.0/0", "2001:db8::1"),
    ("::/0", "192.0.2.7"),
    ("192.0.2.7", "192.0.2.7:8080"),
    ("2001:db8::1", "2001:db8::2"),
    ("10.0.0.1\n" * 200 + "192.0.2.7", "192.0.2.7"),
    ("192.0.2.7" + " " * 9_992, "192.0.2.7"),
    ("\n" * 10_001, "192.0.2.7"),
]


@pytest.mark.parametrize(
    ("allow_ips", "address", "code"),
    [
        *[(*pair, "ok") for pair in ALLOWED],
        *[(*pair, "ip_not_allowed") for pair in REFUSED],
    ],
)
def test_an_allow_list_holds_the_clients_address(
    sqlite_billing: Billing, allow_ips: str, address: str, code: str
) -> None:
    two_users = TwoUsers(sqlite_billing)
    sqlite_billing.execute("UPDATE tokens SET allow_ips = ?", allow_ips)

    assert error_code(two_users.ask(address=address)) == code


@pytest.mark.parametrize(
    ("hops", "forwarded", "code"),
    [
        ("0", "192.0.2.7", "ip_not_allowed"),
        ("1", "192.0.2.7", "ok"),
        ("1", "192.0.2.7, 10.0.0.1", "ip_not_allowed"),
        ("2", "192.0.2.7, 10.0.0.1", "ok"),
        ("2", "192.0.2.7", "ip_not_allowed"),
        ("1", "junk", "ip_not_allowed"),
        ("1", "192.0.2.7:51234", "ok"),
        ("1", "10.0.0.1, 192.0.2.7:51234", "ok"),
        ("2", "192.0.2.7:51234,10.0.0.1:80", "ok"),
        ("1", "::ffff:192.0.2.7", "ok"),
        ("1", "[::ffff:192.0.2.7]:443", "ok"),
        ("1", "192.0.2.7:51234, 10.0.0.1:80", "ip_not_allowed"),
        ("2", '192.0.2.7, "x, 10.0.0.1, 10.0.0.2', "ip_not_allowed"),
    ],
)
def test_exactly_so_many_proxies_are_believed(
    sqlite_billing: Billing, hops: str, forwarded: str, code: str
) -> None:
    two_users = TwoUsers(sqlite_billing)
    sqlite_billing.execute("UPDATE tokens SET allow_ips = '192.0.2.7'")
    headers = bearer(two_users.key, **{"X-Forwarded-For": forwarded})

    answer = two_users.ask(headers, address="127.0.0.1", TRUSTED_PROXY_HOPS=hops)

    assert error_code(answer) == code


@pytest.mark.parametrize(
    ("entry", "is_address"),
    [
        *[(entry, True) for entry in ("2001:db8::1", "[2001:db8::1]", "[2001:DB8::1]:443")],
        *[("2001:db8::1:443", False), ("[2001:db8::1]:443:80", False), ("[2001:db8::1]443", False)],
        *[("[2001:db8::1", False), ("2001:db8::1]:443", False), ("[2001:db8::1]:", False)],
        ("", False),
    ],
)
def test_an_ipv6_address_may_be_in_brackets(
    sqlite_billing: Billing, entry: str, is_address: bool
) -> None:
    two_users = TwoUsers(sqlite_billing)
    sqlite_billing.execute("UPDATE tokens SET allow_ips = '2001:db8::1'")
    headers = bearer(two_users.key, **{"X-Forwarded-For": f"10.0.0.1, {entry}"})

    answer = two_users.ask(headers, address="127.0.0.1", TRUSTED_PROXY_HOPS="1")

    assert error_code(answer) == ("ok" if is_address else "ip_not_allowed")


@pytest.mark.parametrize(
    "entry",
    [
        *("192.0.2.7:", "192.0.2.7:http", "192.0.2.7:123456", "192.0.2.7:8080:80", "192.0.2.7:-1"),
        *("192.0.2.7 :80", "[192.0.2.7]:80", "192.0.2:80", "192.0.2.0/24", "unknown", "_hidden"),
        *('"192.0.2.7"', '"', "192.0.2.7;10.0.0.1", "192.0.2.٧:80", "for=192.0.2.7"),
        "fe80::1%" + "a" * 80,
    ],
)
def test_what_is_no_address_is_on_no_list(sqlite_billing: Billing, entry: str) -> None:
    two_users = TwoUsers(sqlite_billing)
    # The proxy's own address too: junk must not fall back to it.
    sqlite_billing.execute("UPDATE tokens SET allow_ips = '0.0.0.0/0\n::/0'")
    headers = bearer(two_users.key, **{"X-Forwarded-For": entry.encode().decode("latin-1")})

    answer = two_users.ask(headers, address="127.0.0.1", TRUSTED_PROXY_HOPS="1")

    assert error_code(answer) == "ip_not_allowed"


def test_a_clients_quote_does_not_hide_what_the_proxy_added(sqlite_billing: Billing) -> None:
    two_users = TwoUsers(sqlite_billing)
    sqlite_billing.execute("UPDATE tokens SET allow_ips = '127.0.0.1'")
    headers = bearer(two_users.key, **{"X-Forwarded-For": '", 192.0.2.7'})

    answer = two_users.ask(headers, address="127.0.0.1", TRUSTED_PROXY_HOPS="1")

    assert error_code(answer) == "ip_not_allowed"


def test_reading_the_longest_list_takes_5_ms_at_most() -> None:
    longest = "\n".join(f"2001:db8:{number:x}:1234:5678:9abc:def0:1/64" for number in range(200))

    taken = []
    for _ in range(20):
        started = time.thread_time()
        networks = _parse_allow_ips(longest)
        taken.append(time.thread_time() - started)

    assert len(networks or ()) == 200
    # Of several times the shortest, and some room: others use the machine, too.
    assert min(taken) < 0.015


def test_what_is_kept_of_allow_lists_has_a_bound() -> None:
    cache = _Cache(max_bytes=10_000)

    for number in range(100):
        cache(_parse_allow_ips, f"10.0.0.{number}")

    kept = [text for _, text in cache._parsed]
    assert kept[-1] == "10.0.0.99"
    assert len(kept) == 11
