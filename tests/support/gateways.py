"""Stand-ins for gateways: their own tables, on each kind of database, filled by the tests."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing import create_app
from billing.core.service import Service
from config import Settings
from tests.support.mariadb import database_name

SCHEMA = Path(__file__).parent / "schema"

#: Each kind of database, and whose SQL it takes.
DIALECTS = {"sqlite": "sqlite", "mariadb": "mysql", "mysql": "mysql", "postgresql": "postgresql"}

#: Every flavour on every kind of database that we have its own table definitions for.
_ALL_CASES = sorted(
    (flavour, kind)
    for flavour, dialect in (path.stem.rsplit("_", 1) for path in SCHEMA.glob("*.sql"))
    for kind in DIALECTS
    if DIALECTS[kind] == dialect
)

#: one-hub and its fork done-hub, whose tables differ little: their own tests run on all of these,
HUBS = [(flavour, kind) for flavour in ("onehub", "donehub") for kind in DIALECTS]
#: the tests of every gateway on three of them, and on all of the other gateways.
NOT_HUBS = [case for case in _ALL_CASES if case[0] not in ("onehub", "donehub")]
CASES = [*NOT_HUBS, ("onehub", "sqlite"), ("onehub", "postgresql"), ("donehub", "mariadb")]

#: For tests of what one-hub and done-hub do not do.
not_on_hubs = pytest.mark.parametrize("gateway", NOT_HUBS, ids="-".join, indirect=True)

#: 48 alphanumerics, as the gateways make them.
KEY = "Ab3" + "xYz9Q" * 9


class Gateway:
    """A gateway's database. `flavour` is the name of its table definitions."""

    def __init__(self, flavour: str, kind: str, url: str, connection: Any) -> None:
        self.flavour, self.kind, self.url, self.connection = flavour, kind, url, connection
        self.dialect = DIALECTS[kind]
        self.apps: list[Flask] = []
        self._numbers = itertools.count(1)
        script = (SCHEMA / f"{flavour}_{self.dialect}.sql").read_text()
        for statement in re.sub(r"(?m)^--.*$", "", script).split(";"):
            if statement.strip():
                self.execute(statement)

    def execute(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """One statement with ? for parameters and "…" around names, committed."""
        if self.dialect == "mysql":
            sql = sql.replace('"', "`")
        if self.kind != "sqlite" and parameters:
            sql = sql.replace("?", "%s")
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def columns(self, table: str) -> list[str]:
        cursor = self.connection.cursor()
        quote = "`" if self.dialect == "mysql" else '"'
        cursor.execute(f"SELECT * FROM {quote}{table}{quote} LIMIT 0")
        names = [column[0] for column in cursor.description]
        cursor.fetchall()
        cursor.close()
        return names

    def tables(self) -> list[str]:
        script = (SCHEMA / f"{self.flavour}_{self.dialect}.sql").read_text()
        return re.findall(r'CREATE TABLE [`"]?(\w+)', script)

    def insert(self, table: str, **values: object) -> None:
        """A row; values of columns that this version lacks are left out."""
        there = self.columns(table)
        given = {name: value for name, value in values.items() if name in there}
        names = ", ".join(f'"{name}"' for name in given)
        marks = ", ".join("?" * len(given))
        self.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', *given.values())

    def user(self, **values: object) -> int:
        """A user with 600 remaining and 400 used."""
        number = next(self._numbers)
        row: dict[str, object] = {
            "id": number,
            "username": f"user{number}",
            "password": "x",
            "status": 1,
            "quota": 600,
            "used_quota": 400,
            "access_token": hashlib.sha256(str(number).encode()).hexdigest()[:32],
            "aff_code": f"aff{number}",
        }
        self.insert("users", **{**row, **values})
        return int(str(values.get("id", number)))

    def token(self, user_id: int = 1, key: str = KEY, **values: object) -> int:
        """A limited token with 750 remaining and 250 used."""
        number = next(self._numbers)
        row: dict[str, object] = {
            "id": number,
            "user_id": user_id,
            "key": key,
            "status": 1,
            "name": "default",
            "expired_time": -1,
            "remain_quota": 750,
            "used_quota": 250,
            "unlimited_quota": False,
            "allow_ips": "",
            "subnet": "",
        }
        self.insert("tokens", **{**row, **values})
        return number

    def option(self, key: str, value: str) -> None:
        self.insert("options", key=key, value=value)

    def app(self, now: Callable[[], float] | None = None, /, **env: str) -> Flask:
        """An application with those variables; `now` is the clock by which its caches expire."""
        env = {"BILLING_MODE": "attached", "DATABASE_URL": self.url, "USAGE_CACHE": "off", **env}
        settings = Settings.from_env(env)
        app = create_app(settings)
        if now is not None:
            app.extensions["billing"] = Service(settings, now)
        self.apps.append(app)
        return app

    def client(self, now: Callable[[], float] | None = None, /, **env: str) -> FlaskClient:
        return self.app(now, **env).test_client()

    def read(self, what: str, key: str = KEY, **env: str) -> Any:
        """What a fresh service answers a token, which must be a 200."""
        headers = {"Authorization": f"Bearer sk-{key}"}
        answer = self.client(**env).get(f"/v1/dashboard/billing/{what}", headers=headers)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        return {
            table: sorted(self.execute(f'SELECT * FROM "{table}"'), key=repr)
            for table in self.tables()
        }

    def close(self) -> None:
        for app in self.apps:
            app.extensions["billing"].database.close()


@contextlib.contextmanager
def open_gateway(request: pytest.FixtureRequest, flavour: str, kind: str) -> Iterator[Gateway]:
    """An empty gateway's database on that kind of server."""
    with contextlib.ExitStack() as stack:
        connection: Any
        if kind == "sqlite":
            path = request.getfixturevalue("tmp_path") / "one-api.db"
            connection = sqlite3.connect(path, isolation_level=None)
            # Each statement is a transaction; nobody cuts the power.
            connection.execute("PRAGMA synchronous = OFF")
            url = f"sqlite:///{path}"
        elif DIALECTS[kind] == "mysql":
            server = request.getfixturevalue(kind)
            url = stack.enter_context(server.database())
            connection = server.connect(database_name(url))
        else:
            server = request.getfixturevalue("postgresql")
            url = server.url(stack.enter_context(server.database()))
            connection = psycopg.connect(url, autocommit=True)
        stack.callback(connection.close)
        gateway = Gateway(flavour, kind, url, connection)
        stack.callback(gateway.close)
        yield gateway
