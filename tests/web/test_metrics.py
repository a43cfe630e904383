"""What /metrics counts, and that without METRICS there is none."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.application import Billing, TwoUsers
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.mariadb import MariaDB
from tests.support.processes import wait_for

USAGE = "/v1/dashboard/billing/usage"


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(server: Gunicorn) -> dict[tuple[str, ...], float]:
    answer = ask(server.url, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return samples(answer.body.decode())


def test_without_the_variable_there_are_no_metrics(sqlite_billing: Billing) -> None:
    answer = sqlite_billing.client().get("/metrics")

    assert answer.status_code == 404


def test_one_process_counts_for_itself(two_users: TwoUsers) -> None:
    client = two_users.billing.client(METRICS="true")
    before = samples(client.get("/metrics").get_data(as_text=True))

    for key in (two_users.key, two_users.key, "sk-unknown"):
        client.get(USAGE, headers=bearer(key))
    client.get("/nothing/here")

    after = samples(client.get("/metrics").get_data(as_text=True))
    counted = {
        ("billing_requests_total", USAGE, "200"): 2,
        ("billing_requests_total", USAGE, "401"): 1,
        ("billing_requests_total", "none", "404"): 1,
        ("billing_request_seconds_count", USAGE): 3,
        ("billing_authentication_failures_total", "invalid_api_key"): 1,
    }
    assert {key: after[key] - before.get(key, 0) for key in counted} == counted


def test_the_counts_are_those_of_all_workers_and_outlive_them(
    billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    billing.user()
    key = billing.token()["key"]
    server = gunicorn({**billing.env, "METRICS": "true"})
    for _ in range(40):
        ask(server.url, USAGE, bearer(key))
    before = server.workers()
    first = scraped(server)

    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(server.workers()) == 2 and not set(before) & set(server.workers()), "two")
    for _ in range(40):
        ask(server.url, USAGE, bearer(key))
    second = scraped(server)

    assert first["billing_requests_total", USAGE, "200"] == 40
    assert second["billing_requests_total", USAGE, "200"] == 80
    assert second["billing_request_seconds_count", USAGE] == 80
    # Each thread that has read keeps one: 8 in each of 2 workers.
    assert 1 <= second["billing_database_connections",] <= 16
    kind = "sqlite" if billing.env["DATABASE_URL"].startswith("sqlite") else "mysql"
    assert [key[1:3] for key in second if key[0] == "billing_info"] == [(kind, "embedded")]


def test_the_workers_files_do_not_grow_in_number_and_go_with_the_server(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn({**sqlite_billing.env, "METRICS": "true", "WEB_CONCURRENCY": "1"})
    scraped(server)
    where = _folder(server)
    files = {path.name for path in where.iterdir()}

    for _ in range(3):
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_for_successor(worker)
        wait_for(lambda: scraped(server), "its answer")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "Handling signal: hup" in server.log, "the reload")
    wait_for(lambda: len(server.workers()) == 1, "the old worker's end")
    scraped(server)

    assert len({path.name for path in where.iterdir()}) <= 2 * len(files)
    server.close()
    assert not where.exists()


def _folder(server: Gunicorn) -> Path:
    """Where the worker counts: it maps its files into memory."""
    (worker,) = server.workers()
    found = re.search(r"(/\S+)/counter_\w+\.db", Path(f"/proc/{worker}/maps").read_text())
    assert found
    return Path(found[1])


def test_a_database_that_goes_and_comes_is_counted(
    mariadb: MariaDB, gunicorn: Callable[..., Gunicorn]
) -> None:
    with mariadb.database() as url:
        billing = Billing(url)
        billing.run("init")
        billing.user()
        key = billing.token()["key"]
        billing.close()
        env = {"METRICS": "true", "WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}
        server = gunicorn({"DATABASE_URL": url, **env})
        ask(server.url, USAGE, bearer(key))
        before = scraped(server)

        for (connection,) in mariadb.execute(
            "SELECT id FROM information_schema.processlist WHERE user = 'billing'"
        ):
            mariadb.execute(f"KILL {connection}")
        status = ask(server.url, USAGE, bearer(key)).status
        after = scraped(server)

    assert status == 200
    names = ("billing_database_errors_total", "billing_database_reconnects_total")
    assert [before[name,] for name in names] == [0, 0]
    assert [after[name,] for name in names] == [1, 1]
    assert after["billing_database_connections",] == 1


@pytest.mark.parametrize("path", ["/a", "/v1/dashboard/billing/sk-secret", "/metrics/x"])
def test_no_label_holds_what_a_client_chose(sqlite_billing: Billing, path: str) -> None:
    client = sqlite_billing.client(METRICS="true")

    client.get(path)
    client.open(path, method="PUT")
    client.get(USAGE, headers=bearer("sk-secret", **{"X-Request-Id": "chosen"}))

    text = client.get("/metrics").get_data(as_text=True)
    assert path not in text.replace('route="/metrics"', "")
    assert "secret" not in text
    assert "chosen" not in text
    assert {key[1] for key in samples(text) if key[0] == "billing_requests_total"} <= {
        *(rule.rule for rule in client.application.url_map.iter_rules()),
        "none",
    }


def test_a_start_removes_what_a_killed_first_process_left(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    env = {**sqlite_billing.env, "METRICS": "true"}
    killed, running = gunicorn(env), gunicorn(env)
    left, used = (Path(f"/dev/shm/billing-metrics-{s.process.pid}") for s in (killed, running))  # noqa: S108
    foreign = left.with_name(f"billing-metrics-{killed.process.pid}-notes")
    foreign.mkdir()
    assert left.is_dir()
    killed.process.kill()
    killed.process.wait()

    gunicorn(env)

    there = [path.is_dir() for path in (left, used, foreign)]
    foreign.rmdir()
    assert there == [False, True, True]
