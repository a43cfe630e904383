"""Hostile and heavy clients together, without nginx: light requests are answered all the same."""

from __future__ import annotations

import hashlib
import statistics
import time
from pathlib import Path

import pytest

from soak.conftest import tell
from tests.support.background_load import BackgroundLoad, Observation
from tests.support.gateways import KEY, Gateway
from tests.support.granian import Granian
from tests.support.gunicorn import Gunicorn
from tests.support.hostile_clients import HostileClients
from tests.support.http_client import ask, bearer
from tests.support.many_rows import fill_logs, fill_redemptions
from tests.support.site import SUBSCRIPTION, USAGE

LOG_ROWS, REDEMPTIONS = 2_000_000, 800_000

#: This drill lasts so many times as long as the others: 10 minutes for each server.
TIMES = 5

#: They share them: SQLite, MariaDB and PostgreSQL.
KINDS = 3


class DocumentedGranian(Granian):
    """As many threads as docs/deploy.md says."""

    THREADS = 8


def p95(seen: list[Observation], health: bool) -> float:
    taken = [one.took for one in seen if (one.path == "/healthz") == health]
    return statistics.quantiles(taken, n=20)[-1]


@pytest.mark.parametrize("newapi", ["sqlite", "mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("server_class", [Gunicorn, DocumentedGranian])
def test_light_requests_are_answered_beside_hostile_and_heavy_clients(
    newapi: Gateway, server_class: type[Gunicorn], tmp_path: Path, minutes: float
) -> None:
    access_token = hashlib.sha256(b"owner").hexdigest()[:32]
    newapi.user(id=1, access_token=access_token)
    costs = fill_logs(newapi, newapi.token(1), LOG_ROWS)
    fill_redemptions(newapi, REDEMPTIONS)
    env = {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url}
    env["WEB_CONCURRENCY"] = "2"
    server = server_class(env, tmp_path)
    try:
        right = {path: ask(server.url, path, bearer(KEY)).body for path in (SUBSCRIPTION, USAGE)}
        clients = HostileClients(server.port, KEY).lingering(8).half_sent(8).silent(8)
        clients.heavy(8, costs)
        grants = "/v1/dashboard/billing/credit_grants"
        clients.heavy(4, grants, bearer(access_token, 1))
        with clients, BackgroundLoad(server.url, KEY, right) as drill:
            time.sleep(minutes * TIMES * 60 / KINDS)

        took = [p95(drill.seen, health) for health in (False, True)]
        name = f"hostile and heavy clients, {server_class.__name__}, {newapi.kind}"
        tell(f"{name}: p95 {took[0]:.2f} s, of `/healthz` {took[1]:.2f} s", drill)
        drill.check()
        assert set(clients.statuses) <= {200, 503}
        # Workers that have answered 20,000 requests are replaced meanwhile, which nobody notices.
        assert "WORKER TIMEOUT" not in server.log
        assert "exited with code" not in server.log
        assert took[0] <= 0.25
        assert took[1] <= 0.1
    finally:
        server.close()
