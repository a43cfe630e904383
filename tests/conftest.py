"""Fixtures: a MariaDB server for the whole run, an empty or prepared database for each test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing import create_app
from billing.database.connection import Database
from config import Settings
from tests.support.gateways import CASES, Gateway, opened
from tests.support.servers import IN_CI, LOGS, TOLD, VERSIONS, Gunicorn, MariaDB, PostgreSQL

#: The secrets that tests made, as bytes.
SECRETS = {MariaDB.password.encode(), quote(MariaDB.password, safe="").encode()}


def leaks(data: bytes) -> set[bytes]:
    """The secrets that `data` holds."""
    words = re.findall(rb"[A-Za-z0-9]{32,}", data)
    found = SECRETS.intersection(words)
    # A secret amid others, and those that are no plain words.
    long = b" ".join(word for word in words if len(word) > 48)
    return found | {
        secret for secret in SECRETS if secret in long or (len(secret) < 32 and secret in data)
    }


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_told() -> Iterator[None]:
    """After all tests: no key, access token or password in any log, error body or metrics."""
    yield
    logs = [path for log in LOGS for path in ([log] if log.is_file() else log.glob("*.log"))]

    assert leaks(b"\n".join(TOLD)) == set()
    assert [path for path in logs if leaks(path.read_bytes())] == []


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "mariadb"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that holds nothing, on each kind of server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'billing.db'}"
    else:
        with request.getfixturevalue("mariadb").database() as url:
            yield url


def remember(made: dict[str, Any]) -> dict[str, Any]:
    """A user or token; its secret is looked for where none must be."""
    secret = made.get("key", made.get("access_token"))
    SECRETS.add(secret.removeprefix("sk-").encode())
    return made


class Billing:
    """A database of ours, its applications, and the operators' commands on it."""

    def __init__(self, url: str, **env: str) -> None:
        self.env = {"DATABASE_URL": url, **env}
        self.apps: list[Flask] = []
        self.app = self.make_app()

    def make_app(self, **env: str) -> Flask:
        app = create_app(Settings.from_env({**self.env, **env}))
        self.apps.append(app)
        return app

    def client(self, **env: str) -> FlaskClient:
        """A client of an application with those variables on top."""
        return (self.make_app(**env) if env else self.app).test_client()

    def run(self, *arguments: str, status: int = 0, **more: Any) -> str:
        """Run a command; its standard output. `status` is what it must end with."""
        result = self.app.test_cli_runner().invoke(args=arguments, **more)
        assert result.exit_code == status, result.output
        return result.stdout if status == 0 else result.output

    def json(self, *arguments: str) -> Any:
        """Run a command with --json; what it printed."""
        return json.loads(self.run(*arguments, "--json"))

    def user(self, name: str = "alice", quota: int = 0) -> dict[str, Any]:
        return remember(self.json("user", "add", name, "--quota", str(quota)))

    def token(self, user: str = "alice", *options: str) -> dict[str, Any]:
        return remember(self.json("token", "add", user, *options))

    def execute(self, sql: str, *parameters: object) -> list[tuple]:
        """Change rows in ways that no command does."""
        database = Database(self.app.extensions["billing"].settings.database_url, 10, "write")
        try:
            sql = sql.replace("?", database.peewee.param)
            return list(database.peewee.execute_sql(sql, parameters).fetchall())
        finally:
            database.close()

    def close(self) -> None:
        for app in self.apps:
            app.extensions["billing"].database.close()


@pytest.fixture
def billing(empty_url: str) -> Iterator[Billing]:
    """A database with our tables, on each kind of server."""
    held = Billing(empty_url)
    held.run("init")
    yield held
    held.close()


@pytest.fixture
def sqlite_billing(tmp_path: Path) -> Iterator[Billing]:
    """A database with our tables, on SQLite alone."""
    held = Billing(f"sqlite:///{tmp_path / 'billing.db'}")
    held.run("init")
    yield held
    held.close()


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """Starts servers with the given variables; ends them with the test."""
    started: list[Gunicorn] = []

    def start(env: dict[str, str], *options: str, **more: Any) -> Gunicorn:
        started.append(Gunicorn({"WEB_CONCURRENCY": "2", **env}, tmp_path, *options, **more))
        return started[-1]

    yield start
    for server in started:
        server.close()


def bearer(key: str, user_id: object = None, **more: str) -> dict[str, str]:
    """The headers of a caller."""
    headers = {"Authorization": f"Bearer {key}", **more}
    return headers if user_id is None else {**headers, "New-Api-User": str(user_id)}


def verdict(answer: TestResponse) -> str:
    """`ok` or the error's code."""
    return "ok" if answer.status_code == 200 else answer.get_json()["error"]["code"]


class World:
    """alice with one token, bob with none; alice's address is 192.0.2.7."""

    def __init__(self, billing: Billing) -> None:
        self.billing = billing
        self.alice, self.bob = billing.user("alice"), billing.user("bob")
        self.token = billing.token("alice")
        self.key = self.token["key"]

    def ask(
        self, headers: dict[str, str] | None = None, address: str = "192.0.2.7", **env: str
    ) -> TestResponse:
        headers = bearer(self.key) if headers is None else headers
        environ = {"REMOTE_ADDR": address}
        return self.billing.client(**env).get(
            "/v1/dashboard/billing/usage", headers=headers, environ_overrides=environ
        )

    def verdicts(self, requests: Iterable[dict[str, str]], **env: str) -> list[str]:
        """What each set of headers is answered."""
        return [verdict(self.ask(headers, **env)) for headers in requests]


@pytest.fixture
def world(billing: Billing) -> World:
    return World(billing)


#: Fixtures that start a server, and fixtures that do for every parameter but SQLite's.
SERVERS = {"mariadb", "postgresql", "gunicorn", "redis", "pair"}
DATABASES = {"empty_url", "gateway", "newapi"}


def needs_server(item: pytest.Item) -> bool:
    """Whether a test starts a server: by its folder, its fixtures, or a fixture's parameter."""
    if item.path.parent.name in ("live", "panel", "soak"):
        return True
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    kinds = [parameters[name] for name in DATABASES.intersection(parameters)]
    return bool(SERVERS.intersection(item.fixturenames)) or any(
        "sqlite" not in kind for kind in kinds
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make unit` leaves out."""
    for item in items:
        if needs_server(item):
            item.add_marker("server")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI nothing may be skipped, and nowhere what needs no server."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and (IN_CI or "server" not in item.keywords):
        report.outcome = "failed"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say truthfully which servers ran."""
    for line in sorted(VERSIONS):
        terminalreporter.write_line(f"ran against {line}")


@pytest.fixture(params=CASES, ids="-".join)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """An empty database of each gateway, on each kind of server."""
    with opened(request, *request.param) as held:
        yield held


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """An empty database of today's new-api, on each kind of server."""
    with opened(request, "newapi", request.param) as held:
        yield held
