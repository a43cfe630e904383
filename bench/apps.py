"""What ours is compared with: a WSGI callable and Flask routes, each with a constant body."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from typing import Any

import psycopg
import pymysql
from flask import Flask, Response, jsonify

from config import DatabaseURL, Settings

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


def asks() -> Flask:
    """The same route, which asks the server at DATABASE_URL by BENCH_SQL before it answers.

    No service that reads it there can be faster: the driver, the way and the server alone.
    """
    app = Flask(__name__, static_folder=None)
    url, thread = Settings.from_env().database_url, threading.local()

    @app.get("/healthz")
    @app.get("/v1/dashboard/billing/subscription")
    def constant() -> Response:
        if not hasattr(thread, "connection"):
            thread.connection = _connect(url)
        with thread.connection.cursor() as cursor:
            cursor.execute(os.environ["BENCH_SQL"])
            cursor.fetchall()
        return jsonify(BODY)

    return app


def _connect(url: DatabaseURL) -> Any:
    if url.dialect == "postgresql":
        return psycopg.connect(url.dsn, autocommit=True)
    return pymysql.connect(
        host=url.host,
        port=url.port,
        user=url.user,
        password=url.password,
        database=url.name,
        autocommit=True,
        ssl_disabled=True,
    )
