"""Fixtures: the service over each kind of database, with callers in every state."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.caddy import Caddy
from tests.support.fronts import Front
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.mariadb import MariaDB, OnMySQL
from tests.support.nginx import Nginx
from tests.support.processes import ROOT
from tests.support.site import Callers, Site, fill


@pytest.fixture(scope="session", params=["sqlite", "mariadb", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database that lasts as long as all tests, on each kind of server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('site') / 'billing.db'}"
    else:
        with request.getfixturevalue(request.param).database() as url:
            yield url


@pytest.fixture(scope="session")
def callers(url: str) -> Callers:
    billing = Billing(url)
    billing.run("init")
    alice, keys = fill(billing)
    billing.close()
    return Callers(url, alice, keys)


@pytest.fixture(scope="session")
def site(callers: Callers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with two workers, on each kind of database."""
    with callers.served(Gunicorn, tmp_path_factory.mktemp("gunicorn")) as site:
        yield site


@pytest.fixture
def cached_site(newapi: Gateway, tmp_path: Path) -> Iterator[Site]:
    """The service attached to a gateway, with a usage cache; old logs are pruned."""
    access_token, now = "0f" * 16, int(time.time())
    user_id = newapi.user(access_token=access_token, used_quota=400)
    token_id = newapi.token(user_id)
    for day in range(10):
        log = {"user_id": user_id, "token_id": token_id, "type": 2, "model_name": "m", "quota": 40}
        newapi.insert("logs", created_at=now - day * 86400 - 7200, **log)
    env = {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url}
    server = Gunicorn({**env, "USAGE_CACHE": str(tmp_path / "usage.db")}, tmp_path)
    site = Site(server, user_id, access_token, {"example": KEY})
    try:
        costs = f"/v1/organization/costs?start_time={now - 9 * 86400}"
        assert site.ask(costs, "example").status == 200
        newapi.execute("DELETE FROM logs WHERE created_at < ?", now - 86400)
        yield site
    finally:
        server.close()


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    """Where a server may make a unix socket."""
    return tmp_path / "gunicorn.sock"


@pytest.fixture(params=["mariadb", "mysql"])
def on_mysql(request: pytest.FixtureRequest) -> Iterator[OnMySQL]:
    """A server, MariaDB or MySQL, and a database with our tables on it."""
    server: MariaDB = request.getfixturevalue(request.param)
    with server.billing() as billing:
        yield server, billing


@pytest.fixture
def on_mariadb(mariadb: MariaDB) -> Iterator[Billing]:
    """A database with our tables, on MariaDB alone: the drills of soak/."""
    with mariadb.billing() as billing:
        yield billing


def _unit(name: str) -> str:
    """The value of a line of deploy/billing.service."""
    lines = (ROOT / "deploy" / "billing.service").read_text().splitlines()
    (value,) = (line.partition("=")[2] for line in lines if line.startswith(f"{name}="))
    return value


@pytest.fixture(scope="module")
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Clients reach the proxy over TCP; it reaches gunicorn over its unix socket."""
    kind: type[Nginx | Caddy] = getattr(request, "param", Nginx)
    folder = tmp_path_factory.mktemp("front")
    billing = Billing(f"sqlite:///{folder / 'billing.db'}")
    billing.run("init")
    alice, keys = fill(billing)
    billing.close()
    name, value = _unit("Environment").split("=")
    _, *options, app = shlex.split(_unit("ExecStart").replace("/run/billing", str(folder)))
    assert app == "wsgi:app"
    server = Gunicorn({**billing.env, name: value}, folder, *options)
    (folder / "proxy").mkdir()
    proxy = kind(folder / "proxy", folder / "gunicorn.sock", {})
    yield Front(proxy, Site(server, alice["id"], alice["access_token"], keys))
    proxy.close()
    server.close()
