"""What every request and answer gets, whatever its route: plain slashes, a request id, CORS.

One WSGI step does it, because the same headers cost several times as much from hooks of Flask's,
and more from flask-cors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(r"(?!sk-)[A-Za-z0-9._-]{1,64}", re.ASCII)

#: CONTRACT section 2. A `*` does not cover Authorization, and SDKs add headers of their own.
_CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "X-Request-Id, Retry-After"),
]
_PREFLIGHT = [
    *_CORS,
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
    ("Access-Control-Allow-Headers", "*, Authorization, Content-Type, Accept, New-Api-User"),
    ("Access-Control-Max-Age", "86400"),
]

WSGI = Callable[..., Iterable[bytes]]


def _framed(wsgi: WSGI) -> WSGI:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # Clients join base URLs that end in `/`; no redirect, which their proxies do not follow.
        if "//" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = _SLASHES.sub("/", environ["PATH_INFO"])
        # The caller's id if it is plain and no key, else a new one, in the same header for all.
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()
        fixed = _PREFLIGHT if environ["REQUEST_METHOD"] == "OPTIONS" else _CORS

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(
                status, [*headers, ("X-Request-Id", request_id), *fixed], *exc_info
            )

        return wsgi(environ, start)

    return app


def init_app(app: Flask, trusted_proxy_hops: int) -> None:
    """Trust exactly that many proxies: with none, `X-Forwarded-For` is anybody's word."""
    wsgi: Any = _framed(app.wsgi_app)
    if trusted_proxy_hops:
        # Only the address is used; the other headers stay untrusted.
        wsgi = ProxyFix(wsgi, trusted_proxy_hops, 0, 0, 0, 0)
    app.wsgi_app = wsgi  # type: ignore[method-assign]
