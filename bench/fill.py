"""Makes a database of ours, or a new-api's, with many tokens; token n's key is `bench` and n."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peewee import chunked

from billing import create_app
from billing.core.credentials import digest
from billing.database.connection import Database
from billing.database.models import Token, User
from config import Settings
from tests.support.gateways import Gateway

PREFIX = "bench"
_USERS = 1000


def _users() -> Iterator[dict[str, Any]]:
    for n in range(1, _USERS + 1):
        yield {
            "id": n,
            "username": f"user{n}",
            "access_token": digest(f"access{n}"),
            "quota": 10**9,
            "used_quota": n,
            "created_at": 1,
        }


def _tokens(count: int) -> Iterator[dict[str, Any]]:
    for n in range(1, count + 1):
        yield {
            "user_id": n % _USERS + 1,
            "key": digest(f"{PREFIX}{n}"),
            "name": f"token{n}",
            "created_time": 1,
            "remain_quota": 50_000_000 + n,
            "used_quota": n * 7,
        }


def fill(url: str, tokens: int) -> None:
    """Prepare the empty database at `url`, with the rows in it."""
    settings = Settings.from_env({"DATABASE_URL": url})
    made = create_app(settings).test_cli_runner().invoke(args=["init"])
    if made.exit_code:
        raise SystemExit(made.output)
    database = Database(settings.database_url, 60, "write")
    with database.peewee.bind_ctx([User, Token]), database.peewee.atomic():
        for model, rows in ((User, _users()), (Token, _tokens(tokens))):
            for batch in chunked(rows, 2000):
                model.insert_many(batch).execute()
    database.close()


def fill_gateway(gateway: Gateway, tokens: int) -> None:
    """Put the same rows into a new-api's empty tables on PostgreSQL."""
    gateway.execute(
        "INSERT INTO users (id, username, password, status, quota, used_quota, access_token,"
        " aff_code) SELECT n, 'user' || n, 'x', 1, 1000000000, n, 'access' || n, 'aff' || n"
        f" FROM generate_series(1, {_USERS}) AS n"
    )
    gateway.execute(
        "INSERT INTO tokens (id, user_id, key, status, name, expired_time, remain_quota,"
        " used_quota, unlimited_quota, allow_ips)"
        f" SELECT n, n % {_USERS} + 1, '{PREFIX}' || n, 1, 'token' || n, -1, 50000000 + n, n * 7,"
        f" false, '' FROM generate_series(1, {tokens}) AS n"
    )
    gateway.execute("ANALYZE")
