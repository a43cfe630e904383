"""The live service against its own /openapi.json, by schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import environment
from tests.support.site import Site


def test_the_service_answers_as_it_is_described(site: Site, tmp_path: Path) -> None:
    answers_as_described(site, tmp_path)


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_the_usage_cache_is_answered_from_as_it_is_described(
    cached_site: Site, tmp_path: Path
) -> None:
    answers_as_described(cached_site, tmp_path)

    assert "cache cannot be used" not in cached_site.server.log


def answers_as_described(site: Site, tmp_path: Path) -> None:
    report = tmp_path / "report.har"
    result = subprocess.run(
        [
            str(Path(sys.executable).with_name("st")),
            f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
            "run",
            f"{site.server.url}/openapi.json",
            f"--header=Authorization: Bearer {site.keys['example']}",
            "--generation-deterministic",
            "--max-examples=20",
            "--no-color",
            f"--report-har-path={report}",
        ],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stdout
    entries = json.loads(report.read_text())["log"]["entries"]
    statuses = Counter(entry["response"]["status"] for entry in entries)
    # Without a good token it would pass on nothing but refusals.
    assert statuses[200] > 50, statuses
    assert {200, 401, 405} <= set(statuses), statuses
