"""A running service over a database with callers in every state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import Answer, ask, bearer

SUBSCRIPTION, USAGE = "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage"

#: The documented bodies of figures that cannot be read, and what other routes say then.
UNREADABLE = {
    SUBSCRIPTION: '{"error":{"message":"获取配额失败","type":"upstream_error"}}\n',
    USAGE: '{"error":{"message":"获取使用量失败","type":"new_api_error"}}\n',
}
UNAVAILABLE = (
    '{"error":{"message":"数据库暂时不可用，请稍后重试",'
    '"type":"new_api_error","code":"database_unavailable"}}\n'
)


def is_unreadable(path: str, answer: Answer, status: int) -> None:
    """The documented answer when the figures cannot be read."""
    assert answer.status == status
    assert answer.body.decode() == UNREADABLE[path]
    assert answer.headers["Retry-After"] == ("2" if status == 503 else None)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@dataclass
class Site:
    """A running service, and the secrets of its callers by what is special about them."""

    server: Gunicorn
    user_id: int
    access_token: str
    keys: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, key: str = "", method: str = "GET", **headers: str) -> Answer:
        """Ask as the caller named `key`; headers are written with `_` for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.server.url, path, {**self.headers(key), **given}, method)

    def headers(self, key: str) -> dict[str, str]:
        return bearer(self.keys[key]) if key else {}


def fill(billing: Billing) -> tuple[dict[str, Any], dict[str, str]]:
    """Alice, and the keys of tokens in every state."""
    alice = billing.user("alice", 100_000_000)
    billing.user("bob")
    billing.user("carol")
    made = {
        # Expired on the day of the specification's own example, whose figures these are.
        "example": billing.token("alice", "--quota", "50000000", "--expires", "2022-01-01"),
        "unlimited": billing.token("alice", "--unlimited"),
        "disabled": billing.token("alice"),
        "revoked": billing.token("alice"),
        "elsewhere": billing.token("alice", "--allow-ip", "10.0.0.0/8"),
        "loopback": billing.token("alice", "--allow-ip", "127.0.0.1"),
        "exhausted": billing.token("carol", "--quota", "10"),
        "of a disabled user": billing.token("bob"),
    }
    billing.run("token", "disable", str(made["disabled"]["id"]))
    billing.run("token", "revoke", str(made["revoked"]["id"]))
    billing.run("user", "disable", "bob")
    for name, quota in (("example", "12500000"), ("exhausted", "15")):
        token_id = str(made[name]["id"])
        billing.run("usage", "record", token_id, "--model", "gpt-4o", "--quota", quota)
    return alice, {name: token["key"] for name, token in made.items()}


@dataclass
class Callers:
    """A filled database: its URL, alice, and the keys of tokens in every state."""

    url: str
    alice: dict[str, Any]
    keys: dict[str, str]

    @contextmanager
    def served(self, kind: type[Gunicorn], folder: Path, *options: str) -> Iterator[Site]:
        """The service over it with two workers."""
        server = kind({"DATABASE_URL": self.url, "WEB_CONCURRENCY": "2"}, folder, *options)
        try:
            yield Site(server, self.alice["id"], self.alice["access_token"], self.keys)
        finally:
            server.close()


def prepared(billing: Billing) -> str:
    """A key whose figures are drill.RIGHT's."""
    billing.user("alice")
    token = billing.token("alice", "--quota", "50000000")
    billing.run("usage", "record", str(token["id"]), "--model", "m", "--quota", "12500000")
    return str(token["key"])
