"""The breaker's states under load: a database that is frozen, slow and back, read by threads.

One worker of four threads has one breaker. Its log shows which state each refused caller met.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pymysql
import pytest

from tests.support.application import Billing
from tests.support.background_load import RIGHT, TIMEOUT, BackgroundLoad
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask
from tests.support.mariadb import MariaDB
from tests.support.secrets import remember
from tests.support.servers import under_threads
from tests.support.site import prepared
from tests.support.slow_proxy import SlowProxy

pytestmark = under_threads

Start = Callable[..., Gunicorn]

THREADS, CALLERS = 4, 8
ONE_WORKER = {**TIMEOUT, "WEB_CONCURRENCY": "1", "METRICS": "true"}


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[SlowProxy]:
    proxy = SlowProxy(mariadb.port)
    yield proxy
    proxy.close()


def metric(server: Gunicorn, name: str) -> float:
    found = re.findall(rf"(?m)^{name} (\S+)", ask(server.url, "/metrics").body.decode())
    return float(found[0])


def test_a_frozen_database_is_asked_by_one_probe_at_a_time(
    mariadb: MariaDB, on_mariadb: Billing, gunicorn: Start
) -> None:
    key = prepared(on_mariadb)
    on_mariadb.close()
    server = gunicorn({**on_mariadb.env, **ONE_WORKER})

    with BackgroundLoad(server.url, key, RIGHT, CALLERS) as drill:
        drill.until(200, 20)
        mariadb.freeze()
        frozen = time.monotonic()
        try:
            # Long enough for the reads that were under way, and for two probes.
            time.sleep(5.5)
        finally:
            seconds = time.monotonic() - frozen
            mariadb.resume()
        drill.recovered()
        drill.until(200, 20)

    drill.check(503)
    reads = re.findall(r"timed out\)|circuit breaker open", server.log)
    # T: a read that timed out, so the breaker was closed or half-open. R: refused, so it was open.
    states = "".join("T" if read == "timed out)" else "R" for read in reads)
    assert re.match(r"T+R+(T+R+)+T*$", states)
    # A probe takes 1 s, and the breaker is open for 1 s after it.
    assert states.count("T") <= THREADS + seconds / 2
    assert states.count("R") > 10 * states.count("T")
    assert metric(server, "billing_database_reconnects_total") <= states.count("T") + THREADS


@pytest.fixture
def subscriber(newapi: Gateway, proxy: SlowProxy) -> dict[str, str]:
    """The settings of a service whose token KEY sees RIGHT, a subscription among it."""
    newapi.user(quota=30_000_000, used_quota=12_500_000)
    newapi.token()
    newapi.insert(
        "user_subscriptions",
        id=1,
        user_id=1,
        status="active",
        amount_total=7_500_000,
        amount_used=0,
        start_time=0,
        end_time=2**40,
        next_reset_time=0,
    )
    remember({"key": KEY})
    address = {"DATABASE_URL": proxy.of(newapi.url), "BILLING_SCOPE": "account"}
    return {"BILLING_MODE": "attached", **address, **ONE_WORKER}


@pytest.mark.parametrize("newapi", ["mysql"], indirect=True)
def test_a_slow_link_answers_accounts_with_subscriptions(
    mariadb: MariaDB, subscriber: dict[str, str], proxy: SlowProxy, gunicorn: Start
) -> None:
    # Connecting takes 0.7 s of the 1 s that a request may spend, and each of its reads 0.2 s.
    proxy.delay = 0.1
    server = gunicorn(subscriber)

    # No more callers than threads, with the one of /healthz: nobody waits for another.
    with BackgroundLoad(server.url, KEY, RIGHT, THREADS - 1) as drill:
        drill.until(200, 2 * THREADS)
        first = metric(server, "billing_database_reconnects_total")
        for (connection,) in mariadb.execute(
            "SELECT id FROM information_schema.processlist WHERE user = 'billing'"
        ):
            with suppress(pymysql.MySQLError):  # it has gone already
                mariadb.execute(f"KILL {connection}")
        drill.until(200, 2 * THREADS)
        proxy.delay = 0
        drill.recovered()

    drill.check(503)
    # A thread that cannot read any more in its first request keeps the connection for the next.
    assert first <= THREADS
    assert metric(server, "billing_database_reconnects_total") <= first + 3 * THREADS
    assert metric(server, "billing_database_connections") <= THREADS
