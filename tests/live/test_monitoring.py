"""The samples in deploy/monitoring/: alerts, tested by promtool, and a dashboard."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from billing.web import metrics
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.processes import ROOT, program
from tests.support.site import USAGE

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]

#: What the panels ask, with Grafana's own variables filled in.
QUERIES = [
    target["expr"].replace("$__rate_interval", "1m").replace("$job", "billing")
    for panel in PANELS
    for target in panel["targets"]
]


def promtool(*arguments: object) -> str:
    """Run promtool beside the samples; what it printed."""
    ended = subprocess.run(
        [program("promtool"), *map(str, arguments)],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_prometheus_takes_the_sample_and_its_rules() -> None:
    printed = promtool("check", "config", "prometheus.yml")

    assert "SUCCESS: 1 rule files found" in printed


def test_the_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_every_alert_is_tested_and_documented() -> None:
    alerts = re.findall(r"(?m)^ +- alert: (\w+)$", (FOLDER / "alerts.yml").read_text())
    tested = re.findall(
        r"(?m)^ +alertname: (\w+)\n +exp_alerts:\n", (FOLDER / "alerts.test.yml").read_text()
    )

    documented = re.findall(
        r"(?m)^\| `(Billing\w+)` \|", (ROOT / "docs" / "operations.md").read_text()
    )
    assert set(tested) == set(alerts)
    assert documented == alerts


def test_the_queries_of_the_dashboard_parse(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    # JSON is YAML.
    (tmp_path / "rules.yml").write_text(
        json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})
    )

    assert f"SUCCESS: {len(QUERIES)} rules found" in promtool(
        "check", "rules", tmp_path / "rules.yml"
    )


def test_alerts_and_dashboard_name_metrics_that_the_service_has() -> None:
    there = {
        metric._name + ("_total" if isinstance(metric, Counter) else "")
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }

    texts = [*QUERIES, (FOLDER / "alerts.yml").read_text()]
    named = {name for text in texts for name in re.findall(r"\bbilling_\w+", text)}

    assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} == there


def test_a_database_that_is_away_counts_as_the_alerts_count_it(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    server = gunicorn({"DATABASE_URL": f"sqlite:///{tmp_path}/absent.db", "METRICS": "true"})

    ask(server.url, USAGE, bearer("sk-any"))

    exposed = ask(server.url, "/metrics").body.decode()
    assert f'billing_requests_total{{route="{USAGE}",status="503"}} 1.0\n' in exposed
    assert 'billing_requests_total{route="/healthz",status="200"} ' in exposed
    assert f'billing_request_seconds_bucket{{le="1.0",route="{USAGE}"}} 1.0\n' in exposed


@pytest.mark.parametrize("key", ["id", "title"])
def test_no_two_panels_have_the_same(key: str) -> None:
    assert len({panel[key] for panel in PANELS}) == len(PANELS)


def test_no_panel_covers_another() -> None:
    cells = [
        (column, row)
        for panel in PANELS
        for place in [panel["gridPos"]]
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24
