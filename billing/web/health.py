"""/healthz: the process is up. /readyz: the tables can be read."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from billing.core.service import current_service
from billing.web.schemas import StatusSchema, dump

health = Blueprint("health", __name__)

_status = StatusSchema()


@health.get("/healthz")
def healthz() -> dict[str, Any]:
    return dump(_status)


@health.get("/readyz")
def readyz() -> dict[str, Any]:
    service = current_service()
    service.start_request()
    service.queries.ready()
    return dump(_status)
