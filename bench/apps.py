"""What ours is compared with: a WSGI callable and a Flask route, each with a constant body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, jsonify

BODY = {
    "object": "billing_subscription",
    "has_payment_method": True,
    "soft_limit_usd": 100.0,
    "hard_limit_usd": 100.0,
    "system_hard_limit_usd": 100.0,
    "access_until": 1640995200,
}
_BYTES = json.dumps(BODY).encode()

flask = Flask(__name__, static_folder=None)


@flask.get("/healthz")
@flask.get("/v1/dashboard/billing/subscription")
def constant() -> Response:
    return jsonify(BODY)


def bare(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(_BYTES)))]
    start_response("200 OK", headers)
    return [_BYTES]
