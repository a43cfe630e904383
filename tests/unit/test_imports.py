"""Which packages a start loads: those of databases and settings that are not in use stay out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

#: What only some settings need.
PACKAGES = {"MySQLdb", "cryptography", "limits", "prometheus_client", "psycopg", "pymysql", "redis"}


def loaded(**env: str) -> set[str]:
    """Those packages that a worker with these variables has loaded."""
    script = "import json, sys, wsgi; print(json.dumps(list(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return PACKAGES.intersection(json.loads(ended.stdout))


@pytest.mark.parametrize(
    ("env", "packages"),
    [
        ({}, set()),
        ({"DATABASE_URL": "mysql://h/d?driver=pymysql"}, {"pymysql", "cryptography"}),
        ({"DATABASE_URL": "mysql://h/d"}, {"pymysql", "cryptography", "MySQLdb"}),
        ({"DATABASE_URL": "postgresql://h/d", "BILLING_MODE": "attached"}, {"psycopg"}),
        ({"METRICS": "true"}, {"prometheus_client"}),
        ({"RATE_LIMIT": "1 per second"}, {"limits"}),
        (
            {"RATE_LIMIT": "1 per second", "RATE_LIMIT_STORAGE": "redis://127.0.0.1:1"},
            {"limits", "redis", "cryptography"},
        ),
    ],
)
def test_a_package_is_loaded_only_for_what_needs_it(
    env: dict[str, str], packages: set[str]
) -> None:
    assert loaded(**env) == packages
