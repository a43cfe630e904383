"""Rows that come as one JSON array are the rows that come as columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from billing.core.credentials import digest
from billing.database.dialects import mysql as dialect
from billing.database.dialects.mysqlclient import MySQLClient
from billing.database.queries import TokenRow
from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.mariadb import MariaDB, database_name

#: Columns as gateways have them, of types that our own tables do not have.
COLUMNS = """
ALTER TABLE tokens ADD COLUMN setting JSON, ADD COLUMN subnet VARCHAR(64) CHARACTER SET latin1,
    MODIFY COLUMN name CHAR(64) CHARACTER SET utf8mb4, MODIFY COLUMN unlimited_quota TINYINT(1),
    MODIFY COLUMN status BIGINT, MODIFY COLUMN expired_time BIGINT, MODIFY COLUMN allow_ips LONGTEXT
"""

TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters=""), max_size=60)
#: What MySQL calls latin1.
LATIN = st.none() | st.text(st.characters(codec="cp1252"), max_size=60)
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)
SETTINGS = st.sampled_from([None, "{}", "[]", '{"a": [1, "\\u4e2d"]}', '"text"', "null", "1.50"])
DATES = st.sampled_from([None, "1970-01-02 00:00:00", "2026-11-28 12:34:56"])


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> MariaDB:
    server: MariaDB = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def billing(server: MariaDB) -> Iterator[Billing]:
    """Our tables, with a user and a token."""
    with server.database() as url, contextlib.closing(Billing(url)) as billing:
        billing.run("init")
        billing.user()
        yield billing


def rows(billing: Billing, key: str) -> list[TokenRow]:
    service = billing.app.extensions["billing"]
    service.database.close()
    service.database._columns = None
    service.start_request()
    found: list[TokenRow] = service.queries.tokens([digest(key.removeprefix("sk-"))])
    return found


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Enter it to have rows come as columns."""

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(dialect.MySQL, "packs_rows", lambda self: False)
            yield

    return context


def test_any_row_is_the_same_packed(
    server: MariaDB, billing: Billing, unpacked: Callable[[], Any]
) -> None:
    key, name = billing.token()["key"], database_name(billing.env["DATABASE_URL"])
    server.execute(COLUMNS, database=name)

    @settings(
        deadline=None,
        max_examples=60,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(TEXTS, TEXTS, LATIN, SETTINGS, NUMBERS, NUMBERS, st.sampled_from([0, 1, None]), DATES)
    @example('\0\x1f"\\\u2028😀', "\ud7ff\n\t", "é\xff", "{}", 2**63 - 1, -(2**63), 1, None)
    @example(" padded ", "", "", None, 2**53 + 1, 0, None, None)
    def same(
        token_name: str | None,
        allow_ips: str | None,
        subnet: str | None,
        setting: str | None,
        number: int | None,
        other: int | None,
        unlimited: int | None,
        deleted_at: str | None,
    ) -> None:
        server.execute(
            "UPDATE tokens SET name = %s, allow_ips = %s, subnet = %s, setting = %s, status = %s,"
            " expired_time = %s, unlimited_quota = %s, deleted_at = %s",
            *(token_name, allow_ips, subnet, setting, number, other, unlimited, deleted_at),
            database=name,
        )

        (packed,) = rows(billing, key)
        with unpacked():
            (plain,) = rows(billing, key)

        # A date is text when packed; it is only ever asked whether there is one.
        assert (packed.deleted_at is None) == (plain.deleted_at is None)
        assert packed._replace(deleted_at=None) == plain._replace(deleted_at=None)

    same()


def test_rows_are_packed_by_pymysql_alone(billing: Billing) -> None:
    peewee_database = billing.app.extensions["billing"].database.peewee
    billing.client().get("/readyz")

    assert peewee_database.packs_rows() == (not isinstance(peewee_database, MySQLClient))


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("5.5.5-10.11.19-MariaDB-0+deb12u1", True),
        ("10.2.3-MariaDB", True),
        ("10.2.2-MariaDB", False),
        ("5.5.5-5.5.68-MariaDB", False),
        ("11.8.2-MariaDB-log", True),
        ("9.7.4-2", True),
        ("5.7.8", True),
        ("5.7.25-TiDB-v7.5.0", True),
        ("5.7.7", False),
        ("5.6.51-log", False),
        ("8.0.36-28.1", True),
        ("junk", False),
    ],
)
def test_old_servers_are_asked_for_columns(version: str, has: bool) -> None:
    assert dialect._has_json_array(version) is has


def test_a_server_without_the_function_is_asked_for_columns(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the first host of an address is newer than the one that answers now."""
    key = billing.token()["key"]
    asked: list[bool] = []

    def packs_rows(self: dialect.MySQL) -> bool:
        asked.append(not asked)
        return asked[-1]

    monkeypatch.setattr(dialect.MySQL, "packs_rows", packs_rows)
    monkeypatch.setattr(dialect.MySQL, "pack", lambda _, columns: peewee.fn.NO_SUCH_ARRAY(*columns))

    answer = billing.client().get("/v1/dashboard/billing/usage", headers=bearer(key))

    assert (answer.status_code, asked) == (200, [True, False])
