"""What every request and answer gets, whatever its route: plain slashes, a request id, CORS.

CORS stands here and not in flask-cors because the same headers cost a fifth of the time so.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

_requests = logging.getLogger("billing.requests")

_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(r"(?!sk-)[A-Za-z0-9._-]{1,64}", re.ASCII)

#: A balance is nobody's to keep or to guess the type of.
_PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

#: CONTRACT section 2. A `*` does not cover Authorization, and SDKs add headers of their own.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
}
_ALWAYS = {**_CORS, **_PRIVATE}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*, Authorization, Content-Type, Accept, New-Api-User",
    "Access-Control-Max-Age": "86400",
}


def _squeezing_slashes(wsgi: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Clients join base URLs that end in `/`; no redirect, which their proxies do not follow."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "//" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = _SLASHES.sub("/", environ["PATH_INFO"])
        return wsgi(environ, start_response)

    return app


def _name_request() -> None:
    """The caller's request id if it is plain and no key, else a new one; the time it came."""
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    headers.update(_ALWAYS)
    if request.method == "OPTIONS":
        headers.update(_PREFLIGHT)
    return response


def _log(response: Response) -> Response:
    """The route and never the path, which may be a key."""
    caller, rule = g.get("caller"), request.url_rule
    asked = {
        "request_id": g.request_id,
        "method": request.method,
        "route": rule and rule.rule,
        "status": response.status_code,
        "duration": round(time.perf_counter() - g.began, 6),
        "user_id": caller and caller.user.id,
        "token_id": caller and caller.token and caller.token.id,
    }
    _requests.info("request", extra={"asked": asked})
    return response


def init_app(app: Flask, trusted_proxy_hops: int, log_requests: bool) -> None:
    """Trust exactly that many proxies: with none, `X-Forwarded-For` is anybody's word."""
    app.before_request(_name_request)
    if log_requests:
        app.after_request(_log)
    app.after_request(_finish)
    wsgi: Any = _squeezing_slashes(app.wsgi_app)
    if trusted_proxy_hops:
        # Only the address is used; the other headers stay untrusted.
        wsgi = ProxyFix(wsgi, trusted_proxy_hops, 0, 0, 0, 0)
    app.wsgi_app = wsgi  # type: ignore[method-assign]
