"""Requests as no client library sends them, byte by byte, and what must never come of one."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import NamedTuple

from hypothesis import strategies as st

from tests.support.site import Site

#: What a 200 of each billing route begins with; nobody else may see the rest.
FIGURES = re.compile(rb'\{"object":"(billing_subscription|list|credit_summary|page)"', re.ASCII)

NASTY = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"%s%s%s%n",
    b"{0.__class__}",
    b"${jndi:ldap://x}",
    b"' OR '1'='1",
    b'" OR ""="',
    b"1; DROP TABLE tokens --",
    b"\\' UNION SELECT * FROM users --",
    b"%00",
    b"%27%20OR%201=1",
    b"../../../etc/passwd",
    "１２３".encode(),
    "١٢٣".encode(),
    "sk-密钥".encode(),
    b"9" * 400,
    b"-1",
    b"1e308",
    b"NaN",
    b"A" * 9000,
    b"\t",
    b",",
    b";",
]

junk = st.one_of(st.sampled_from(NASTY), st.binary(max_size=40))

_ROUTES = [
    b"/v1/dashboard/billing/subscription",
    b"/dashboard/billing/usage",
    b"/v1/dashboard/billing/credit_grants",
    b"/v1/organization/costs",
    b"/api/usage/token",
    b"/v1/organization/usage/completions",
    b"/healthz",
    b"/readyz",
    b"/v1/dashboard/billing/nothing",
]

_TRICKS = [
    (b"/dashboard", b"//dashboard"),
    (b"/v1/", b"/v1/../v1/"),
    (b"/dashboard", b"/%2e%2e/dashboard"),
    (b"/billing", b"/billing;x=1"),
    (b"/billing/", b"/billing/%2f"),
    (b"/billing/", b"/billing/./"),
    (b"usage", b"us%61ge"),
    (b"/", b"\\"),
    (b"/healthz", b"/healthz/../v1/dashboard/billing/usage"),
]


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    path = draw(st.sampled_from(_ROUTES))
    if draw(st.booleans()):
        path = path.replace(*draw(st.sampled_from(_TRICKS)))
    if draw(st.integers(0, 5)) == 0:
        path = draw(st.sampled_from([b"*", b"", b"http://x" + path, b"x:443", b"/" + b"a" * 9000]))
    names = st.sampled_from([b"start_date", b"include", b"start_time", b"limit", b"page", b"x"])
    for name in draw(st.lists(names, max_size=3)):
        path += (b"&" if b"?" in path else b"?") + name + b"=" + draw(junk)
    return path


_METHODS = [b"GET"] * 8 + [b"HEAD", b"OPTIONS", b"POST", b"PUT", b"get", b"G\x00T", b"TRACE", b""]
_VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/9.9", b"HTTP/2.0", b"http/1.1", b""]

_FRAMING = [
    [b"Content-Length: 5", b"Content-Length: 6"],
    [b"Content-Length: 99999999999999999999"],
    [b"Content-Length: -1"],
    [b"Content-Length: +5"],
    [b"Content-Length: 0x5"],
    ["Content-Length: ٥".encode()],
    [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
    [b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding : chunked"],
    [b"Transfer-Encoding: xchunked"],
    [b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding:\x0bchunked"],
    [b"Expect: 100-continue"],
    [b"Upgrade: websocket", b"Connection: Upgrade"],
    [b"Connection: keep-alive, TE"],
]

_ODD_LINES = [
    b" folded",
    b"\tfolded",
    b"NoColon",
    b": empty",
    b"Bad Name: x",
    b"X\x00: y",
    b"X: " + b"y" * 65536,
    b"Host: a\r\nHost: b",
    b"X-Forwarded-For: 10.0.0.1",
    b"SCRIPT_NAME: /v1",
    b"Accept-Language: " + b"en;q=0.1," * 500,
]


def wrong_keys(key: bytes) -> list[bytes]:
    """Values near to a key, or to any, that authenticate nobody."""
    return [
        key.swapcase(),
        key[:-1],
        key[1:],
        key + b"x",
        key[:20] + b"-" + key[20:],
        b"sk-sk-" + key,
        key + b"\xc2\xa0",
        key + b" x",
        key + b"%",
        key.replace(key[:1], b"_"),
        b"sk-" + key[:-1] + b"?",
        b"sk-" + b"_" * 48,
        b"Basic " + key,
        *NASTY,
    ]


class Request(NamedTuple):
    """What goes over the wire, and whether anybody may be told figures for it."""

    raw: bytes
    may_read: bool


#: What is odd about a request: one thing mostly, so that it gets far, or all at once.
_ODDITIES = ["key", "key", "id", "target", "start", "framing", "line", "end", "all", "all"]

_IDS = [b"2", b"-1", b"1.0", b"+1", b"0x1", "１".encode(), "١".encode(), b"1" * 400, b"1 OR 1"]


def _refused(draw: st.DrawFn, by_id: bool, key: bytes, access: bytes) -> list[bytes]:
    """Lines that authenticate nobody."""
    if by_id:
        # The right access token with another's id.
        return [b"Authorization: " + access, b"New-Api-User: " + draw(st.sampled_from(_IDS))]
    scheme = draw(st.sampled_from([b"", b"Bearer ", b"bearer\t", b"BEARER   "]))
    lines = [b"Authorization: " + scheme + draw(st.sampled_from(wrong_keys(key)))]
    if draw(st.integers(0, 3)) == 0:
        # Of several, the first counts.
        lines.append(b"Authorization: " + draw(st.sampled_from([b"Bearer sk-" + key, access])))
    return lines


@st.composite
def requests(draw: st.DrawFn, site: Site) -> Request:
    key, access = site.keys["example"].removeprefix("sk-").encode(), site.access_token.encode()
    good = b"Authorization: Bearer sk-" + key
    odd = draw(st.sampled_from(_ODDITIES))
    may_read = odd not in ("key", "id") and draw(st.booleans())
    lines = [b"Host: x", *([good] if may_read else _refused(draw, odd == "id", key, access))]

    def is_odd(what: str) -> bool:
        return odd == what or (odd == "all" and draw(st.booleans()))

    method, target, version, body = b"GET", draw(st.sampled_from(_ROUTES)), b"HTTP/1.1", b""
    if is_odd("start"):
        method, version = draw(st.sampled_from(_METHODS)), draw(st.sampled_from(_VERSIONS))
    if is_odd("target"):
        target = draw(targets())
    if is_odd("framing"):
        lines += draw(st.sampled_from(_FRAMING))
        smuggled = b"GET /v1/dashboard/billing/usage HTTP/1.1\r\nHost: x\r\n" + good + b"\r\n\r\n"
        body = draw(st.sampled_from([b"", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n"])) + smuggled
    if is_odd("line"):
        names = st.sampled_from([b"X-Request-Id", b"Accept", b"Cookie", b"Origin", b"Host"])
        lines.append(draw(names) + b": " + draw(junk))
        if may_read:
            lines.append(b"New-Api-User: " + draw(junk))
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(_ODD_LINES)))
    end = b"\n" if is_odd("end") and draw(st.booleans()) else b"\r\n"
    raw = end.join([b" ".join([method, target, version]), *lines, b"", body])
    # Some break off, anywhere.
    if odd in ("end", "all") and draw(st.integers(0, 3)) == 0:
        raw = raw[: draw(st.integers(0, len(raw)))]
    return Request(raw, may_read)


def exchanged(port: int, raw: bytes) -> bytes:
    """All that comes back until the server closes, which it must."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        received = b""
        # Refused early, it may be closed already; what counts is what comes back.
        with suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


def judge(request: Request, received: bytes) -> None:
    """Answered, or closed; no 5xx but the server's own 501; nobody told what is not theirs."""
    if not received:
        return None
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ", head)
    assert found, received[:200]
    status = int(found[1])
    if status == 100:
        return judge(request, body)
    # "Not Implemented" is gunicorn's word for transfer codings that it does not know.
    own = status == 501 and b"ransfer-" in request.raw and b"X-Request-Id" not in head
    assert status < 500 or own, received[:500]
    # A request hidden in a body is never answered.
    assert not re.search(rb"HTTP/1\.[01] [1-5]", body)
    assert request.may_read or not FIGURES.match(body), request.raw
    return None
