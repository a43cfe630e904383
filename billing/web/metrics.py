"""GET /metrics, for Prometheus; loaded only when METRICS=true, for its package is optional."""

from __future__ import annotations

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

from billing.core.service import VERSION, Service, service
from billing.database.connection import Event, driver_errors
from billing.errors import BillingError
from billing.web.middleware import BEGAN

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
BEHIND = Gauge(
    "billing_replica_seconds_behind",
    "How old an attached replica's figures may be, by database; absent where none is one",
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
    """Those of all workers, when the server gave them a folder to share."""
    _ask_replicas(service())
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        registry = REGISTRY
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _ask_replicas(held: Service) -> None:
    """Ask attached replicas how far behind they are; a database that is away is left out."""
    handles = {"main": held.handle, "logs": held.logs} if held.attached else {}
    for name, handle in handles.items():
        if handle is None or (name == "logs" and handle is held.handle):
            continue
        handle.begin()
        with suppress(BillingError, *driver_errors()):
            handle.shape()
            replica = handle.kind.replica(handle.database)
            if replica and replica.behind is not None:
                BEHIND.labels(name).set(replica.behind)


def _count(response: Response) -> Response:
    # Paths are anybody's choice; routes are ours, and few.
    route = request.url_rule.rule if request.url_rule else "none"
    REQUESTS.labels(route, response.status_code).inc()
    SECONDS.labels(route).observe(time.perf_counter() - request.environ[BEGAN])
    if response.status_code in (401, 403):
        REFUSALS.labels(g.get("error_code", "none")).inc()
    return response


def _watch(event: Event) -> None:
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
    held: Service = app.extensions["billing"]
    for handle in (held.handle, held.logs):
        if handle is not None:
            handle.watch = _watch
    INFO.labels(VERSION, settings.billing_mode, settings.database_url.dialect).set(1)
    app.after_request(_count)
    app.register_blueprint(metrics)
