"""Text in a gateway's rows that is not UTF-8, and driver errors that quote what rows hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import peewee
import psycopg
import pymysql
import pytest
from psycopg import errors

from billing.database.connection import Database
from billing.database.dialects.mysql import MySQL
from billing.database.dialects.postgresql import PostgreSQL
from billing.database.dialects.sqlite import SQLite
from config import database_url
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.postgresql import PostgreSQL as Server

ROUTES = ("subscription", "usage", "credit_grants")
DAILY = "usage?include=daily_costs&start_date=2026-11-01&end_date=2026-11-02"
NOON = 1793534400


@pytest.fixture(params=["newapi", "oneapi"])
def sqlite_gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """With a token that used 250 units of a model on 2026-11-01."""
    with open_gateway(request, request.param, "sqlite") as gateway:
        gateway.user(id=1)
        gateway.token(1, id=1, name="name")
        row = {"user_id": 1, "token_id": 1, "token_name": "name", "type": 2, "created_at": NOON}
        gateway.insert("logs", id=1, **row, model_name="gpt-4o", quota=250)
        yield gateway


def status(gateway: Gateway, path: str, key: str = KEY) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return gateway.client().get(f"/v1/dashboard/billing/{path}", headers=headers).status_code


def spoil(gateway: Gateway, table: str, column: str, head: str) -> None:
    """Put text and a byte that is no UTF-8 into each row."""
    spoilt = head.encode().hex() + "ff"
    gateway.execute(f'UPDATE "{table}" SET "{column}" = CAST(x\'{spoilt}\' AS TEXT)')


def test_a_models_name_that_is_not_utf8_is_read_with_replacement(sqlite_gateway: Gateway) -> None:
    spoil(sqlite_gateway, "logs", "model_name", "gpt")

    body = sqlite_gateway.read(DAILY)

    assert [item["name"] for day in body["daily_costs"] for item in day["line_items"]] == [
        "gpt\ufffd"
    ]
    assert body["period_usage"] == 0.05


@pytest.mark.parametrize(
    ("table", "column"), [("users", "setting"), ("tokens", "name"), ("users", "access_token")]
)
def test_text_that_is_not_utf8_fails_no_route_of_its_owner(
    sqlite_gateway: Gateway, caplog: pytest.LogCaptureFixture, table: str, column: str
) -> None:
    if column not in sqlite_gateway.columns(table):
        column = "username"
    spoil(sqlite_gateway, table, column, '{"webhook_secret": "hush"}')

    with caplog.at_level(logging.DEBUG):
        statuses = [status(sqlite_gateway, path) for path in ROUTES]

    assert statuses == [200, 200, 200]
    assert "hush" not in caplog.text


def test_one_apis_costs_of_a_token_without_a_readable_name_are_an_error_and_not_0(
    sqlite_gateway: Gateway,
) -> None:
    spoil(sqlite_gateway, "tokens", "name", "name")
    spoil(sqlite_gateway, "logs", "token_name", "name")

    assert status(sqlite_gateway, DAILY) == (500 if sqlite_gateway.flavour == "oneapi" else 200)


def test_a_secret_with_a_byte_that_is_no_text_matches_nothing(sqlite_gateway: Gateway) -> None:
    spoil(sqlite_gateway, "users", "access_token", "hush")
    spoil(sqlite_gateway, "tokens", "key", "key")
    client = sqlite_gateway.client()

    codes = set()
    for secret in ("hush\xef\xbf\xbd", "hush\xff", "hush?", "hush", "key\xef\xbf\xbd", "key\xff"):
        headers = {"Authorization": secret, "New-Api-User": "1"}
        answer = client.get("/v1/dashboard/billing/usage", headers=headers)
        codes.add((answer.status_code, answer.get_json()["error"]["code"]))

    assert codes == {(401, "invalid_api_key")}


def test_the_next_read_decodes_at_full_speed_again(sqlite_gateway: Gateway) -> None:
    spoil(sqlite_gateway, "tokens", "name", "name")
    database = Database(database_url(sqlite_gateway.url), 5, "attached")
    database.start_time_budget()
    read: Callable[..., list[tuple[str]]] = database.call(lambda columns: columns.dialect.fetch_all)

    assert read("SELECT name FROM tokens") == [("name\ufffd",)]
    assert database.peewee.connection().text_factory is str
    database.close()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            pymysql.IntegrityError(1062, "Duplicate entry 'hush' for key 'tokens.key'"),
            "(1062, Duplicate entry '…')",
        ),
        (
            pymysql.DataError(1366, "Incorrect string value: 'hush' for column 'a'"),
            "(1366, Incorrect string value: '…')",
        ),
        (
            pymysql.ProgrammingError(1064, "syntax error near 'hush'' AND \"hush\"'"),
            "(1064, syntax error near '…')",
        ),
        (
            pymysql.OperationalError(1205, "Lock wait timeout exceeded"),
            "(1205, Lock wait timeout exceeded)",
        ),
        (
            pymysql.OperationalError(1045, "Access denied for user 'u'@'h'"),
            "(1045, \"Access denied for user 'u'@'h'\")",
        ),
        (
            pymysql.OperationalError(2003, "Can't connect to MySQL server on 'h'"),
            "(2003, \"Can't connect to MySQL server on 'h'\")",
        ),
    ],
)
def test_mysqls_errors_quote_names_of_tables_but_nothing_of_rows(
    error: Exception, text: str
) -> None:
    assert MySQL.error_text(error) == text


def test_sqlites_errors_quote_no_text() -> None:
    error = peewee.OperationalError("Could not decode to UTF-8 column 'setting' with text 'hush")

    assert SQLite.error_text(error) == "Could not decode to UTF-8"


def test_postgresqls_errors_quote_no_row(postgresql: Server) -> None:
    with (
        postgresql.database() as name,
        psycopg.connect(postgresql.url(name), autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE t (key text UNIQUE); INSERT INTO t VALUES ('hush')")
        with pytest.raises(errors.UniqueViolation) as duplicate:
            connection.execute("INSERT INTO t VALUES ('hush')")
        with pytest.raises(errors.InvalidTextRepresentation) as no_number:
            connection.execute("SELECT key::int FROM t")
        with pytest.raises(errors.UndefinedTable) as no_table:
            connection.execute("SELECT 1 FROM gone")

    assert "hush" in str(duplicate.value)
    texts = [PostgreSQL.error_text(caught.value) for caught in (duplicate, no_number, no_table)]
    assert texts == [
        'duplicate key value violates unique constraint "…"',
        'invalid input syntax for type integer: "…"',
        'relation "gone" does not exist',
    ]
