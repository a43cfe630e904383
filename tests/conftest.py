"""Fixtures of all tests, the `server` marker, and what the run says at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import Billing, TwoUsers
from tests.support.gateways import CASES, DIALECTS, HUBS, Gateway, open_gateway
from tests.support.gunicorn import Gunicorn
from tests.support.mariadb import MariaDB
from tests.support.mysql import MySQL
from tests.support.on_mysql import needs_no_mysql
from tests.support.postgresql import PostgreSQL
from tests.support.processes import IN_CI, VERSIONS
from tests.support.secrets import ERROR_BODIES, SERVER_LOGS, leaks


@pytest.fixture(scope="session", autouse=True)
def assert_no_secret_leaked() -> Iterator[None]:
    """After all tests: no key, access token or password in any log, error body or metrics."""
    yield
    logs = [path for log in SERVER_LOGS for path in ([log] if log.is_file() else log.glob("*.log"))]

    assert leaks(b"\n".join(ERROR_BODIES)) == set()
    assert [path for path in logs if leaks(path.read_bytes())] == []


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQL]:
    server = MySQL()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "mariadb", "mysql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that holds nothing, on each kind of server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'billing.db'}"
    else:
        with request.getfixturevalue(request.param).database() as url:
            yield url


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables, to be copied: that is much faster than `flask init`."""
    path = tmp_path_factory.mktemp("template") / "billing.db"
    billing = Billing(f"sqlite:///{path}")
    billing.run("init")
    billing.close()
    return path


@pytest.fixture
def billing(request: pytest.FixtureRequest, empty_url: str, sqlite_file: Path) -> Iterator[Billing]:
    """A database with our tables, on each kind of server."""
    billing = Billing(empty_url)
    if empty_url.startswith("sqlite:///"):
        shutil.copy(sqlite_file, empty_url.removeprefix("sqlite:///"))
    else:
        server = request.getfixturevalue(request.node.callspec.params["empty_url"])
        server.copy_our_tables(empty_url)
    yield billing
    billing.close()


@pytest.fixture
def sqlite_billing(tmp_path: Path, sqlite_file: Path) -> Iterator[Billing]:
    """A database with our tables, on SQLite alone."""
    shutil.copy(sqlite_file, tmp_path / "billing.db")
    billing = Billing(f"sqlite:///{tmp_path / 'billing.db'}")
    yield billing
    billing.close()


@pytest.fixture
def server_class() -> type[Gunicorn]:
    """The server that `gunicorn` starts; tests/support/servers.py has marks for others."""
    return Gunicorn


@pytest.fixture
def gunicorn(tmp_path: Path, server_class: type[Gunicorn]) -> Iterator[Callable[..., Gunicorn]]:
    """Starts servers with the given variables; ends them with the test."""
    started: list[Gunicorn] = []

    def start(env: dict[str, str], *options: str, **more: Any) -> Gunicorn:
        started.append(server_class({"WEB_CONCURRENCY": "2", **env}, tmp_path, *options, **more))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def two_users(billing: Billing) -> TwoUsers:
    return TwoUsers(billing)


@pytest.fixture(params=CASES, ids="-".join)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """An empty database of each gateway, on each kind of server."""
    with open_gateway(request, *request.param) as gateway:
        yield gateway


@pytest.fixture(params=DIALECTS)
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """An empty database of today's new-api, on each kind of server."""
    with open_gateway(request, "newapi", request.param) as gateway:
        yield gateway


@pytest.fixture(params=HUBS, ids="-".join)
def hub(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """An empty database of one-hub and of done-hub, on each kind of server."""
    with open_gateway(request, *request.param) as gateway:
        yield gateway


#: Fixtures that start a server, and those that do so unless their parameter names SQLite.
SERVER_FIXTURES = {"mariadb", "mysql", "postgresql", "gunicorn", "redis", "pair"}
DATABASE_FIXTURES = {"empty_url", "gateway", "hub", "newapi"}


def needs_server(item: pytest.Item) -> bool:
    """Whether a test starts a server: by its folder, its fixtures, or a fixture's parameter."""
    if item.path.parent.name in ("live", "panel", "image", "soak"):
        return True
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    kinds = [str(parameters[name]) for name in DATABASE_FIXTURES.intersection(parameters)]
    named = {*item.fixturenames, *map(str, parameters.values())}
    return bool(SERVER_FIXTURES & named) or any("sqlite" not in kind for kind in kinds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what MySQL need not run too; mark the tests that `make unit` leaves out."""
    items[:] = [item for item in items if not _needs_no_mysql(item)]
    for item in items:
        if needs_server(item):
            item.add_marker("server")


def _needs_no_mysql(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return needs_no_mysql(item.nodeid.removeprefix("tests/"), parameters)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test in CI, and everywhere one that needs no server."""
    report = yield
    if report.skipped and (IN_CI or "server" not in item.keywords):
        report.outcome = "failed"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of `-n` tells the first one which servers it ran."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["versions"] = sorted(VERSIONS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    VERSIONS.update(getattr(node, "workeroutput", {}).get("versions", []))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which servers ran, as they name themselves."""
    for line in sorted(VERSIONS):
        terminalreporter.write_line(f"ran against {line}")
