"""Requests that no client library sends, over raw sockets."""

from __future__ import annotations

import pytest

from tests.support.http_client import exchange
from tests.support.site import SUBSCRIPTION, Site


def _status(site: Site, *lines: bytes) -> int:
    head = f"GET {SUBSCRIPTION} HTTP/1.1".encode()
    received = exchange(site.server.port, head, b"Host: x", b"Connection: close", *lines)
    assert b'{"error":{"message"' in received or received.startswith(b"HTTP/1.1 200")
    return int(received.split()[1])


def test_of_two_authorization_headers_the_first_counts(site: Site) -> None:
    good = f"Authorization: Bearer {site.keys['example']}".encode()
    bad = b"Authorization: Bearer sk-unknown"

    assert [_status(site, good, bad), _status(site, bad, good)] == [200, 401]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"New-Api-User: \xff", 401),
        (b"New-Api-User: \xd9\xa1", 401),
        (b"X-Request-Id: \xff\xfe", 200),
        (b"Accept-Language: \xe4\xb8\xad\xff", 200),
    ],
)
def test_bytes_that_are_not_ascii_never_break_an_answer(
    site: Site, line: bytes, status: int
) -> None:
    authorization = f"Authorization: Bearer {site.keys['example']}".encode()

    assert _status(site, authorization, line) == status


@pytest.mark.parametrize("key", [b"\xff\xfe", b"sk-\xe5\xaf\x86", b"sk-abc\xc3", b"sk-' OR 1=1 --"])
def test_a_key_of_odd_bytes_is_an_unknown_key(site: Site, key: bytes) -> None:
    assert _status(site, b"Authorization: Bearer " + key, b"New-Api-User: 1") == 401


@pytest.mark.parametrize(
    "line", [b"SCRIPT_NAME: /v1", b"SCRIPT_NAME: /x", b"PATH_INFO: /healthz", b"Path-Info: /readyz"]
)
def test_no_header_moves_a_request_to_another_path(site: Site, line: bytes) -> None:
    authorization = f"Authorization: Bearer {site.keys['example']}".encode()

    assert [_status(site, line), _status(site, authorization, line)] == [401, 200]


def test_headers_that_disagree_on_the_scheme_are_no_bad_request(site: Site) -> None:
    authorization = f"Authorization: Bearer {site.keys['example']}".encode()

    assert _status(site, authorization, b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: x") == 200
