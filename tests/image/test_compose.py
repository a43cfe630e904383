"""What the services of deploy/compose/ run, from the image and against real servers.

The images of new-api, MySQL, nginx and Caddy are not there: a gateway's tables, servers of the
machine and its programs stand for them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.caddy import Caddy
from tests.support.compose import mounts, services
from tests.support.containers import Container
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.http_client import Answer, ask, bearer
from tests.support.mariadb import MariaDB, database_name
from tests.support.nginx import Nginx
from tests.support.processes import ROOT, free_port, wait_for
from tests.support.site import SUBSCRIPTION

Start = Callable[..., Container]

#: What .env holds; the servers' root account has no password.
VALUES = {
    "MYSQL_ROOT_PASSWORD": "",
    "NEWAPI_PASSWORD": "0123456789abcdef0123456789abcdef",
    "READER_PASSWORD": "fedcba9876543210fedcba9876543210",
    "BILLING_PASSWORD": "00112233445566778899aabbccddeeff",
}
SERVERS = ["mariadb", "mysql"]


def service(file: str, name: str) -> dict[str, Any]:
    return dict(services(file, VALUES)[name])


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> MariaDB:
    server: MariaDB = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def newapi_on_server(request: pytest.FixtureRequest, server: MariaDB) -> Iterator[Gateway]:
    """new-api's tables on the server, with a token in them."""
    kind = request.node.callspec.params["server"]
    with open_gateway(request, "newapi", kind) as gateway:
        gateway.token(gateway.user())
        yield gateway
        server.execute("DROP USER IF EXISTS billing_reader@'%%'")


@pytest.fixture
def newapi_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """new-api's file, in a folder as its own container leaves one."""
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.token(gateway.user())
        tmp_path.chmod(0o755)
        yield gateway


def at(server: MariaDB, url: str, text: str, name: str) -> str:
    """`text` with the server and the database of a test in place of the sample's."""
    text = text.replace("mysql:3306", f"127.0.0.1:{server.port}")
    return re.sub(rf"\b{name}\b(?=\.\*|$)", database_name(url), text)


def make_reader(server: MariaDB, gateway: Gateway) -> None:
    """Run the one-shot service as its container would."""
    made = service("newapi-mysql.yml", "reader-account")
    (script,) = made["command"]
    there = script.replace("--host=mysql --port=3306", f"--host=127.0.0.1 --port={server.port}")
    assert there != script
    subprocess.run(
        [*made["entrypoint"], at(server, gateway.url, there, "newapi")],
        env={"PATH": os.environ["PATH"], **made["environment"]},
        check=True,
        timeout=60,
    )


def test_the_account_of_newapi_mysql_reads_and_cannot_write(
    server: MariaDB, newapi_on_server: Gateway, start: Start
) -> None:
    # Twice: it must not mind an account that is there.
    make_reader(server, newapi_on_server)
    make_reader(server, newapi_on_server)
    environment = dict(service("newapi-mysql.yml", "billing")["environment"])
    address = at(server, newapi_on_server.url, environment["DATABASE_URL"], "newapi")

    container = start({**environment, "DATABASE_URL": address})
    container.wait_until_healthy()
    answer = ask(container.url, SUBSCRIPTION, bearer(f"sk-{KEY}"))
    checked = container.run("flask", "check", "--json")

    assert answer.json["hard_limit_usd"] == 1000 / 500_000
    report = json.loads(checked.stdout)
    assert report["gateway"] == "new-api, v0.10.8 or later"
    assert not [text for text in report["warnings"] if "write" in text]
    grants = server.execute("SHOW GRANTS FOR billing_reader@'%%'")
    assert {grant.split(" ON ")[0] for (grant,) in grants} == {"GRANT USAGE", "GRANT SELECT"}


def test_without_the_account_the_start_ends_with_one_line(
    server: MariaDB, newapi_on_server: Gateway, start: Start
) -> None:
    environment = dict(service("newapi-mysql.yml", "billing")["environment"])
    address = at(server, newapi_on_server.url, environment["DATABASE_URL"], "newapi")

    container = start({**environment, "DATABASE_URL": address})

    assert container.process.wait(30) == 2
    assert re.fullmatch(r"cannot serve: .*\(1045, .*\n", container.log), container.log
    assert VALUES["READER_PASSWORD"] not in container.log


def test_embedded_mysql_makes_its_tables_and_a_key_and_stops_in_order(
    server: MariaDB, start: Start
) -> None:
    environment = dict(service("embedded-mysql.yml", "billing")["environment"])
    account = f"billing_{VALUES['BILLING_PASSWORD'][:4]}"
    server.execute("CREATE DATABASE billing_compose")
    server.execute(f"CREATE USER {account} IDENTIFIED BY %s", VALUES["BILLING_PASSWORD"])
    try:
        # As the variables of MySQL's image make it.
        server.execute(f"GRANT ALL ON billing_compose.* TO {account}")
        address = at(server, "mysql://x/billing_compose", environment["DATABASE_URL"], "billing")
        address = address.replace("//billing:", f"//{account}:")
        container = start({**environment, "DATABASE_URL": address, "DATABASE_TIMEOUT": "20"})
        container.wait_until_healthy()
        (key,) = re.findall(r"(?m)^key +(sk-\w{48})$", container.log)
        answer = ask(container.url, SUBSCRIPTION, bearer(key))
        in_hand, status = stop_while_tables_are_locked(server, container, key)
    finally:
        server.execute(f"DROP USER {account}")
        server.execute("DROP DATABASE billing_compose")

    assert answer.json["hard_limit_usd"] == 100
    assert (in_hand.json, status) == (answer.json, 0)


def stop_while_tables_are_locked(
    server: MariaDB, container: Container, key: str
) -> tuple[Answer, int]:
    """Stop the container while a request waits; its answer, and the container's status."""
    waits = "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table%%'"
    with ThreadPoolExecutor(1) as pool:
        with server.connect("billing_compose") as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLES tokens WRITE, users WRITE")
            waiting = pool.submit(ask, container.url, SUBSCRIPTION, bearer(key))
            wait_for(lambda: server.execute(waits), "the request to wait", 10)
            container.signal("SIGTERM")
            wait_for(lambda: "Handling signal: term" in container.log, "the stop", 10)
            cursor.execute("UNLOCK TABLES")
        return waiting.result(), container.process.wait(40)


@pytest.mark.parametrize("file", ["newapi-mysql.yml", "embedded-mysql.yml"])
def test_the_health_check_of_mysql_knows_whether_it_listens(file: str, server: MariaDB) -> None:
    made = service(file, "mysql")
    kind, command = made["healthcheck"]["test"]
    assert kind == "CMD-SHELL"

    def status(port: int) -> int:
        there = command.replace("--host=127.0.0.1", f"--host=127.0.0.1 --port={port}")
        env = {"PATH": os.environ["PATH"], **made["environment"]}
        return subprocess.run(["sh", "-c", there], env=env, timeout=60).returncode

    assert status(server.port) == 0
    assert status(free_port()) != 0


def test_newapi_sqlite_reads_the_gateways_volume(
    newapi_file: Gateway, start: Start, tmp_path: Path
) -> None:
    billing = service("newapi-sqlite.yml", "billing")
    (where,) = mounts(billing)

    container = start(billing["environment"], volumes={where: tmp_path})
    container.wait_until_healthy()

    answer = ask(container.url, SUBSCRIPTION, bearer(f"sk-{KEY}"))
    assert answer.json["hard_limit_usd"] == 1000 / 500_000


def test_the_proxies_find_the_service_by_tcp(start: Start, tmp_path: Path) -> None:
    container = start({"TRUSTED_PROXY_HOPS": "1"})
    container.wait_until_healthy()
    address = f"127.0.0.1:{container.port}"
    folders = [tmp_path / "nginx", tmp_path / "caddy"]
    for folder in folders:
        folder.mkdir()
    socket = tmp_path / "socket"
    nginx = Nginx(folders[0], socket, {f"unix:{socket}": address})
    caddy = Caddy(folders[1], address, {})
    try:
        answers = [
            ask(proxy.url, path).status
            for proxy in (nginx, caddy)
            for path in ("/healthz", SUBSCRIPTION, "/v1/models")
        ]
    finally:
        nginx.close()
        caddy.close()

    assert answers == [200, 401, 404] * 2


def test_nginx_is_given_the_containers_addresses(tmp_path: Path) -> None:
    (script,) = service("newapi-mysql.yml", "proxy")["command"]
    rewriting, _, serving = script.partition("exec ")
    sample, rewritten = ROOT / "deploy" / "nginx.conf", tmp_path / "nginx.conf"
    command = rewriting.replace("/etc/billing/nginx.conf", str(sample))
    command = command.replace("/tmp/nginx.conf", str(rewritten))  # noqa: S108

    subprocess.run(["sh", "-euc", command], check=True, timeout=60)

    changed = set(rewritten.read_text().splitlines()) - set(sample.read_text().splitlines())
    assert changed == {
        "        server billing:8000 max_fails=0;  # set",
        "        server new-api:3000;  # set",
    }
    assert serving == "nginx -c /tmp/nginx.conf -g 'daemon off;'\n"


@pytest.mark.parametrize("file", ["newapi-sqlite.yml", "embedded-mysql.yml"])
def test_caddy_is_given_variables_that_the_caddyfile_reads(file: str) -> None:
    sample = (ROOT / "deploy" / "Caddyfile").read_text()

    environment = service(file, "proxy")["environment"]

    assert environment["BILLING"] == "billing:8000"
    assert [name for name in environment if f"{{${name}:" not in sample] == []
