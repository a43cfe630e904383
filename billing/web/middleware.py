"""What every request and answer gets, whatever its route: plain slashes, a request id, CORS.

One WSGI step does it, because the same headers cost several times as much from hooks of Flask's,
and more from flask-cors.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

_requests = logging.getLogger("billing.requests")

_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(r"(?!sk-)[A-Za-z0-9._-]{1,64}", re.ASCII)

#: In the environment: when the request came, and that its answer says itself who may keep it.
BEGAN, KEPT = "billing.began", "billing.kept"

#: CONTRACT section 2. A `*` does not cover Authorization, and SDKs add headers of their own.
_CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "X-Request-Id, Retry-After"),
    ("X-Content-Type-Options", "nosniff"),
]
#: A balance is nobody's to keep.
_ALWAYS = [*_CORS, ("Cache-Control", "no-store")]
_PREFLIGHT = [
    *_ALWAYS,
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
    ("Access-Control-Allow-Headers", "*, Authorization, Content-Type, Accept, New-Api-User"),
    ("Access-Control-Max-Age", "86400"),
]

WSGI = Callable[..., Iterable[bytes]]


def _framed(wsgi: WSGI) -> WSGI:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[BEGAN] = time.perf_counter()
        # Clients join base URLs that end in `/`; no redirect, which their proxies do not follow.
        if "//" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = _SLASHES.sub("/", environ["PATH_INFO"])
        # The caller's id if it is plain and no key, else a new one, in the same header for all.
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = os.urandom(16).hex()
        fixed = _PREFLIGHT if environ["REQUEST_METHOD"] == "OPTIONS" else _ALWAYS

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            more = _CORS if KEPT in environ else fixed
            return start_response(
                status, [*headers, ("X-Request-Id", request_id), *more], *exc_info
            )

        return wsgi(environ, start)

    return app


def _log(response: Response) -> Response:
    """The route and never the path, which may be a key."""
    caller, rule = g.get("caller"), request.url_rule
    asked = {
        "request_id": request.headers["X-Request-Id"],
        "method": request.method,
        "route": rule and rule.rule,
        "status": response.status_code,
        "duration": round(time.perf_counter() - request.environ[BEGAN], 6),
        "user_id": caller and caller.user.id,
        "token_id": caller and caller.token and caller.token.id,
    }
    _requests.info("request", extra={"asked": asked})
    return response


def init_app(app: Flask, trusted_proxy_hops: int, log_requests: bool) -> None:
    """Trust exactly that many proxies: with none, `X-Forwarded-For` is anybody's word."""
    if log_requests:
        app.after_request(_log)
    wsgi: Any = _framed(app.wsgi_app)
    if trusted_proxy_hops:
        # Only the address is used; the other headers stay untrusted.
        wsgi = ProxyFix(wsgi, trusted_proxy_hops, 0, 0, 0, 0)
    app.wsgi_app = wsgi  # type: ignore[method-assign]
