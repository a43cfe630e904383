"""What ours is compared with: a WSGI callable and Flask routes, each with a constant body."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, jsonify

from billing.database.connection import Database
from config import Settings

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


@flask.get("/line")
def line() -> str:
    return "<!doctype html><title>A line</title><p>A line of text"


def bare(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(_BYTES)))]
    start_response("200 OK", headers)
    return [_BYTES]


def asks() -> Flask:
    """The same route, which runs the statement BENCH_SQL at DATABASE_URL before it answers.

    By the driver that the service would take. No service that reads the same can be faster.
    """
    app = Flask(__name__, static_folder=None)
    database = Database(Settings.from_env().database_url, 3600, "attached")

    @app.get("/healthz")
    @app.get("/v1/dashboard/billing/subscription")
    def constant() -> Response:
        database.start_time_budget()
        # The driver's own connection and cursor: without what the service does beside them.
        with database.peewee.connection().cursor() as cursor:
            cursor.execute(os.environ["BENCH_SQL"])
            cursor.fetchall()
        return jsonify(BODY)

    return app
