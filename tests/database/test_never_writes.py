"""An attached database is read and never written, whatever is asked and by whatever account."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import peewee
import pytest

from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.mariadb import database_name
from tests.support.processes import flask

BEARER = {"Authorization": f"Bearer {KEY}"}
PATHS = [
    "/dashboard/billing/subscription",
    "/v1/dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-24",
    "/v1/dashboard/billing/usage?include=daily_costs&start_date=2026-11-01&end_date=2026-11-24",
    "/dashboard/billing/credit_grants",
    "/v1/organization/costs?start_time=1793491200",
    "/v1/organization/costs?start_time=1793491200&group_by=api_key_id&timezone=Asia/Kolkata",
    "/v1/organization/usage/completions?start_time=1793491200&bucket_width=1h",
    "/v1/organization/costs",
    "/api/usage/token/",
    "/readyz",
    "/healthz",
    "/nowhere",
]
HEADERS: list[dict[str, str]] = [
    BEARER,
    {},
    {"Authorization": "Bearer sk-unknown"},
    {"Authorization": "' OR 1=1; DROP TABLE tokens; --"},
    {"Authorization": "0f" * 16, "New-Api-User": "1"},
    {**BEARER, "New-Api-User": "2"},
]


def every_request(gateway: Gateway) -> set[int]:
    client = gateway.client(OPTIONS_REFRESH="1")
    return {
        client.open(path, method=method, headers=headers).status_code
        for path in PATHS
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE")
        for headers in HEADERS
    }


def test_requests_of_every_kind_leave_every_row_as_it_was(gateway: Gateway) -> None:
    gateway.token(gateway.user(access_token="0f" * 16), expired_time=1700000000, remain_quota=0)
    gateway.option("QuotaPerUnit", "250000")
    before = gateway.dump()

    statuses = every_request(gateway)

    assert statuses == {200, 400, 401, 404, 405}
    assert gateway.dump() == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_sqlite_file_is_the_same_to_the_byte(
    request: pytest.FixtureRequest, tmp_path: Path, journal: str
) -> None:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.execute(f"PRAGMA journal_mode = {journal}")
        gateway.token(gateway.user(access_token="0f" * 16))
        path = tmp_path / "one-api.db"
        before = hashlib.sha256(path.read_bytes()).digest()

        every_request(gateway)

        assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize("reconnected", [False, True])
def test_the_services_own_connection_cannot_write(newapi: Gateway, reconnected: bool) -> None:
    newapi.token(newapi.user())
    database = newapi.app().extensions["billing"].database
    database.start_time_budget()
    database.table_columns()
    if reconnected:
        database.close()
        database.start_time_budget()
        database.table_columns()

    with pytest.raises(peewee.PeeweeException, match=r"(?i)read.?only"):
        database.peewee.execute_sql("DELETE FROM tokens")

    assert newapi.execute("SELECT count(*) FROM tokens") == [(1,)]


def test_an_account_that_may_only_select_suffices(
    newapi: Gateway, request: pytest.FixtureRequest
) -> None:
    newapi.token(newapi.user())
    newapi.insert("logs", id=1, user_id=1, type=2, created_at=1, quota=400)
    if newapi.dialect == "mysql":
        server, name = request.getfixturevalue(newapi.kind), database_name(newapi.url)
        server.execute("DROP USER IF EXISTS reader@'127.0.0.1'")
        server.execute("CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'pw'")
        server.execute(f"GRANT SELECT ON {name}.* TO reader@'127.0.0.1'")
        newapi.url = f"mysql://reader:pw@127.0.0.1:{server.port}/{name}"
    elif newapi.kind == "postgresql":
        newapi.execute("DROP ROLE IF EXISTS reader")
        newapi.execute("CREATE ROLE reader LOGIN")
        newapi.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        newapi.url = newapi.url.replace("postgres@", "reader@")
    else:
        Path(newapi.url.removeprefix("sqlite:///")).chmod(0o444)

    usage = newapi.read("usage")
    check = flask({"BILLING_MODE": "attached", "DATABASE_URL": newapi.url}, "check")

    assert usage == {"object": "list", "total_usage": 0.05}
    assert (check.returncode, check.stderr) == (0, "")
    if newapi.kind == "postgresql":
        newapi.execute("DROP OWNED BY reader")
        newapi.execute("DROP ROLE reader")


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
end = time.monotonic() + 2
commits = 0
while time.monotonic() < end:
    connection.execute("UPDATE users SET quota = quota - 1, used_quota = used_quota + 1")
    commits += 1
print(commits)
"""


def test_a_busy_gateway_loses_nothing_beside_us(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with open_gateway(request, "oneapi", "sqlite") as gateway:
        gateway.token(gateway.user())
        before = gateway.dump()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "one-api.db")],
            stdout=subprocess.PIPE,
            text=True,
        )
        client = gateway.client(BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")

        limits = set()
        while writer.poll() is None:
            answer = client.get("/dashboard/billing/subscription", headers=BEARER)
            limits.add((answer.status_code, answer.get_json()["hard_limit_usd"]))
        commits = int(writer.communicate()[0])

        after = gateway.dump()
        (row,) = after.pop("users")
        (old,) = before.pop("users")
        columns = gateway.columns("users")
        changes = {
            name: new - then
            for name, then, new in zip(columns, old, row, strict=True)
            if then != new
        }
        assert limits == {(200, 1000)}
        assert commits > 0
        assert changes == {"quota": -commits, "used_quota": commits}
        assert after == before


@pytest.mark.parametrize(
    "command",
    [
        ["user", "add", "x"],
        ["token", "add", "x"],
        ["usage", "record", "1", "--model", "m", "--quota", "1"],
        ["usage", "import", "-"],
        ["user", "list"],
        ["backup", "x"],
    ],
)
def test_commands_that_write_refuse_with_one_line(newapi: Gateway, command: list[str]) -> None:
    result = newapi.app().test_cli_runner().invoke(args=command)

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: attached: the database is the gateway's, and this service only reads it\n"
    )


@pytest.mark.parametrize("command", ["init", "quickstart"])
def test_a_release_phase_passes(newapi: Gateway, command: str) -> None:
    before = newapi.dump()

    result = newapi.app().test_cli_runner().invoke(args=[command])

    assert (result.exit_code, result.stdout.split()) == (0, ["attached", "nothing", "to", "do"])
    assert newapi.dump() == before
