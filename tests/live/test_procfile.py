"""The Procfile's lines, run by a Procfile runner with variables as hosts set them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_client import ask, bearer
from tests.support.mariadb import MariaDB
from tests.support.processes import ROOT, environment, flask, free_port, missing, wait_for
from tests.support.secrets import SERVER_LOGS, remember
from tests.support.site import SUBSCRIPTION


class Host:
    """A host that runs a Procfile: its variables, and what its processes printed."""

    def __init__(self, folder: Path, address: str) -> None:
        honcho = Path(sys.executable).with_name("honcho")
        if not honcho.exists():
            missing("honcho is not installed (make test installs it)")
        self.port, self.log_path = free_port(), folder / "honcho.log"
        SERVER_LOGS.append(self.log_path)
        self.env = {"DATABASE_URL": address, "PORT": str(self.port), "TRUSTED_PROXY_HOPS": "1"}
        # No .env of the checkout, which is the developer's own.
        (folder / "env").touch()
        self._command = [
            *(str(honcho), "start", "--no-prefix", f"--env={folder / 'env'}"),
            f"--procfile={ROOT / 'Procfile'}",
        ]

    def start(self, process: str) -> subprocess.Popen[bytes]:
        """Start one line of the Procfile."""
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*self._command, process],
                cwd=ROOT,
                env=environment(self.env),
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()


@pytest.fixture(params=["mariadb", "mysql"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A host with an empty database, whose address it hands out in its own words."""
    server: MariaDB = request.getfixturevalue(request.param)
    with server.database() as url:
        address = url.replace("mysql://", "mysql2://").replace("?driver=pymysql", "?reconnect=true")
        yield Host(tmp_path, address)


def test_a_host_that_runs_the_procfile_serves(host: Host) -> None:
    release = host.start("release")
    released = release.wait(60)
    made = flask(host.env, "user", "add", "alice", "--usd", "5", "--json")
    user = remember(json.loads(made.stdout))
    web = host.start("web")
    try:
        wait_for(lambda: ask(f"http://127.0.0.1:{host.port}", "/readyz").status == 200, "web")
        headers = bearer(user["access_token"], user["id"])
        answer = ask(f"http://127.0.0.1:{host.port}", SUBSCRIPTION, headers)
    finally:
        web.terminate()
        stopped = web.wait(60)

    assert released == 0
    assert "database  created" in host.log
    assert answer.json["hard_limit_usd"] == 5
    assert f"Listening at: http://0.0.0.0:{host.port} " in host.log
    assert "Shutting down: Master" in host.log
    # honcho says so of what it ended itself.
    assert stopped == 143


def test_a_postgres_address_that_nobody_asked_for_ends_the_release(tmp_path: Path) -> None:
    host = Host(tmp_path, "postgres://user:hunter2@10.0.0.5:5432/name")

    released = host.start("release").wait(60)

    assert released == 1
    assert "DATABASE_URL " in host.log
    assert "hunter2" not in host.log
