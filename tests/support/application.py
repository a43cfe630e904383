"""Our own database, its applications and commands, and users in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing import create_app
from billing.database.connection import Database
from config import Settings
from tests.support.http_client import bearer
from tests.support.secrets import remember


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

    def execute(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
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


def error_code(answer: TestResponse) -> str:
    """`ok` or the error's code."""
    return "ok" if answer.status_code == 200 else answer.get_json()["error"]["code"]


class TwoUsers:
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

    def error_codes(self, requests: Iterable[dict[str, str]], **env: str) -> list[str]:
        """What each set of headers is answered."""
        return [error_code(self.ask(headers, **env)) for headers in requests]
