"""GET /metrics, for Prometheus; loaded only when METRICS=true, as its package is."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from billing.core.service import Service, current_service
from billing.database.connection import Event
from billing.database.dialects.base import ReplicaStatus
from billing.errors import DatabaseError
from billing.version import VERSION
from billing.web.middleware import STARTED_AT

if TYPE_CHECKING:
    from config import Settings

REQUESTS = Counter("billing_requests_total", "Requests, by route and status", ["route", "status"])
SECONDS = Histogram(
    "billing_request_seconds",
    "How long requests took, by route",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter(
    "billing_authentication_failures_total", "Callers refused, by the error's code", ["code"]
)
DATABASE_ERRORS = Counter("billing_database_errors_total", "Reads that failed, first tries too")
RECONNECTS = Counter(
    "billing_database_reconnects_total", "Connections that took the place of an earlier one"
)
CONNECTIONS = Gauge(
    "billing_database_connections", "Connections open now", multiprocess_mode="livesum"
)
REPLICA_LAG = Gauge(
    "billing_replica_seconds_behind",
    "How old an attached replica's figures may be, by database; NaN for no replica or unknown",
    ["database"],
    multiprocess_mode="livemostrecent",
)
REPLICA_RUNNING = Gauge(
    "billing_replica_running",
    "Whether an attached replica follows its primary, 1 or 0; NaN for no replica or unknown",
    ["database"],
    multiprocess_mode="livemostrecent",
)
INFO = Gauge(
    "billing_info",
    "Always 1; which version runs, over which kind of database",
    ["version", "mode", "database"],
    multiprocess_mode="livemax",
)

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
def exposition() -> Response:
    """The counts of all workers, when the server gave them a folder to share."""
    _measure_replica_lag(current_service())
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)
    except ValueError:
        registry = REGISTRY
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _measure_replica_lag(service: Service) -> None:
    """Ask attached replicas how they follow.

    A database that is no replica, was promoted or is away reads NaN: an old figure would keep an
    alarm silent.
    """
    if not service.attached:
        return
    databases = {"main": service.database, "logs": service.log_database}
    if service.log_database is service.database:
        del databases["logs"]
    for name, database in databases.items():
        if database is None:
            continue
        database.start_time_budget()
        status = None
        with suppress(DatabaseError):
            status = database.call(lambda columns: columns.dialect.replica_status())
        lag_seconds, running, _ = status or ReplicaStatus(None, None)
        REPLICA_LAG.labels(name).set(math.nan if lag_seconds is None else lag_seconds)
        REPLICA_RUNNING.labels(name).set(math.nan if running is None else running)


def _count(response: Response) -> Response:
    # Labels name routes, which are few; paths are the clients' choice.
    route = request.url_rule.rule if request.url_rule else "none"
    REQUESTS.labels(route, response.status_code).inc()
    SECONDS.labels(route).observe(time.perf_counter() - request.environ[STARTED_AT])
    if response.status_code in (401, 403):
        REFUSALS.labels(g.get("error_code", "none")).inc()
    return response


def _count_connections(event: Event) -> None:
    if event == "error":
        DATABASE_ERRORS.inc()
    elif event == "close":
        CONNECTIONS.dec()
    else:
        CONNECTIONS.inc()
        if event == "reconnect":
            RECONNECTS.inc()


def init_app(app: Flask, settings: Settings) -> None:
    """Count everything that `app` answers from now on."""
    service: Service = app.extensions["billing"]
    for database in (service.database, service.log_database):
        if database is not None:
            database.on_event = _count_connections
    INFO.labels(VERSION, settings.billing_mode, settings.database_url.dialect).set(1)
    app.after_request(_count)
    app.register_blueprint(metrics)
