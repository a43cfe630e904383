"""Fixtures: those of the tests; what each drill found is printed at the end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conftest import (  # noqa: F401
    assert_no_secret_leaked,
    gunicorn,
    mariadb,
    mysql,
    newapi,
    postgresql,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    server_class,
    sqlite_billing,
    sqlite_file,
)
from tests.live.conftest import callers, on_mariadb, site, url  # noqa: F401
from tests.support.background_load import BackgroundLoad
from tests.support.processes import VERSIONS

_FOUND: list[str] = []


def tell(name: str, drill: BackgroundLoad) -> None:
    """A row of the table in docs/operations.md."""
    figures = [seen for seen in drill.seen if seen.path != "/healthz"]
    health = [seen.took for seen in drill.seen if seen.path == "/healthz"]
    counts: dict[str, int] = {}
    for seen in figures:
        status = str(seen.answer.status) if seen.answer else "none"
        counts[status] = counts.get(status, 0) + 1
    told = ", ".join(f"{count} × {status}" for status, count in sorted(counts.items()))
    slowest = max(seen.took for seen in figures)
    _FOUND.append(f"| {name} | {told} | {slowest:.2f} s | {max(health):.2f} s |")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table, and truthfully which servers ran, and when."""
    terminalreporter.write_line(time.strftime("%Y-%m-%d", time.gmtime()))
    for line in [*_FOUND, *(f"ran against {version}" for version in sorted(VERSIONS))]:
        terminalreporter.write_line(line)


@pytest.fixture
def minutes(request: pytest.FixtureRequest) -> float:
    """How long each drill lasts: `--minutes`, 2 when it is not given."""
    return float(request.config.getoption("--minutes"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", default="2", help="how long each drill lasts")
