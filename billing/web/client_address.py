"""The client's address behind proxies: one entry of `X-Forwarded-For` becomes REMOTE_ADDR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

WSGI = Callable[..., Iterable[bytes]]

#: An address with its port, as Azure and some balancers write it, or an IPv6 one in brackets.
_WITH_PORT = re.compile(r"\[([^]]*:[^]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)


#: The longest text of an address, with brackets, a zone and a port.
_LONGEST = 80


@lru_cache(maxsize=1024)  # few clients make most requests, and to parse takes 4 µs
def _address(entry: str) -> str:
    """The address of an entry, without its port; empty, which is on no allow-list, for junk."""
    match = _WITH_PORT.fullmatch(entry)
    try:
        return str(ip_address(match[1] or match[2] if match else entry))
    except ValueError:
        return ""


def behind_proxies(wsgi: WSGI, hops: int) -> WSGI:
    """Believe the entry that the outermost of `hops` proxies added: anybody can send the header.

    With fewer entries than that, the request passed by a proxy: the address is the connection's.
    werkzeug's ProxyFix would do, but that it keeps ports and reads quotes: behind a proxy that
    appends, a client that sends `"` would have the proxy's address.
    """

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(entries) >= hops and entries != [""]:
            entry = entries[-hops].strip(" \t")
            environ["REMOTE_ADDR"] = _address(entry) if len(entry) <= _LONGEST else ""
        return wsgi(environ, start_response)

    return app
