"""WSGI middleware for every request and response: slashes, request id, CORS and cache headers.

One WSGI step does it, because the same headers cost several times as much from hooks of Flask's,
and more from flask-cors.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, g, request

from billing.web.client_address import WSGI, behind_proxies

_requests = logging.getLogger("billing.requests")

_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(r"(?!sk-)[A-Za-z0-9._-]{1,64}", re.ASCII)

#: Keys in the WSGI environ: start time; set when the response has its own Cache-Control.
STARTED_AT, CACHEABLE = "billing.started_at", "billing.cacheable"

#: docs/contract.md section 2. A `*` does not cover Authorization; SDKs add headers of their own.
_CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Billing-Unit"),
    ("X-Content-Type-Options", "nosniff"),
]
#: Responses contain balances: no cache may store them.
_RESPONSE_HEADERS = [*_CORS, ("Cache-Control", "no-store")]
_PREFLIGHT = [
    *_RESPONSE_HEADERS,
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
    ("Access-Control-Allow-Headers", "*, Authorization, Content-Type, Accept, New-Api-User"),
    ("Access-Control-Max-Age", "86400"),
]


def _add_headers(wsgi: WSGI) -> WSGI:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[STARTED_AT] = time.perf_counter()
        # Base URLs that end in `/` make `//`. No redirect: some clients' proxies follow none.
        if "//" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = _SLASHES.sub("/", environ["PATH_INFO"])
        # The caller's id unless it could be a key, else a new one, which all code reads there.
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()
        added = _PREFLIGHT if environ["REQUEST_METHOD"] == "OPTIONS" else _RESPONSE_HEADERS

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            more = _CORS if CACHEABLE in environ else added
            return start_response(
                status, [*headers, ("X-Request-Id", request_id), *more], *exc_info
            )

        return wsgi(environ, start)

    return app


def _log_request(response: Response) -> Response:
    """Write one line for the request; the route and never the path, which may hold a key."""
    caller, rule = g.get("caller"), request.url_rule
    request_fields = {
        "request_id": request.headers["X-Request-Id"],
        "method": request.method,
        "route": rule and rule.rule,
        "status": response.status_code,
        "duration": round(time.perf_counter() - request.environ[STARTED_AT], 6),
        "user_id": caller and caller.user.id,
        "token_id": caller and caller.token and caller.token.id,
    }
    _requests.info("request", extra={"request_fields": request_fields})
    return response


def init_app(app: Flask, trusted_proxy_hops: int, log_requests: bool) -> None:
    """With proxies in front, the client's address is what they say (client_address.py)."""
    if log_requests:
        app.after_request(_log_request)
    wsgi = _add_headers(app.wsgi_app)
    if trusted_proxy_hops:
        wsgi = behind_proxies(wsgi, trusted_proxy_hops)
    app.wsgi_app = wsgi  # type: ignore[method-assign]
