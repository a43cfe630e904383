"""/healthz: the process is up. /readyz: the tables can be read."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from billing.schemas import StatusSchema, dump
from billing.service import service

health = Blueprint("health", __name__)

_status = StatusSchema()


@health.get("/healthz")
def healthz() -> dict[str, Any]:
    return dump(_status)


@health.get("/readyz")
def readyz() -> dict[str, Any]:
    service().begin()
    service().reads.ready()
    return dump(_status)
