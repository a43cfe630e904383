"""Makes gateways' logs of the size that the daily costs are measured on: `make bench-data`.

new-api's own tables and indexes, `--rows` log rows over 120 days, 200 users of 4 tokens; user 1
has a tenth of all rows. The rows come in the order of their time, but for some that are late.
With `--lean`, for 50 million rows: texts that nobody reads are empty, and `logs` has only the
indexes that reads by user, token, time and id can use.
"""

from __future__ import annotations

import argparse
import random
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).resolve().parent.parent / "tests" / "support" / "schema"
DAYS, USERS, TOKENS = 120, 200, 4
#: Where the data ends: 2026-11-01 00:00 UTC.
END = 1793491200
COLUMNS = (
    "id",
    "user_id",
    "created_at",
    "type",
    "content",
    "username",
    "token_name",
    "model_name",
    "quota",
    "prompt_tokens",
    "completion_tokens",
    "channel_id",
    "token_id",
    "group",
    "ip",
    "request_id",
    "other",
)
OTHER = '{"model_ratio":1.25,"group_ratio":1,"completion_ratio":4,"cache_tokens":0,' * 4


def logs(rows: int, lean: bool = False) -> Iterator[tuple[Any, ...]]:
    """Rows of `logs` in COLUMNS' order, the same for the same count."""
    other = "" if lean else OTHER
    chance = random.Random(7)
    models = [f"model-{number}" for number in range(20)]
    for number in range(1, rows + 1):
        user = 1 if chance.random() < 0.1 else chance.randint(2, USERS)
        token = (user - 1) * TOKENS + chance.randint(1, TOKENS)
        at = END - DAYS * 86400 + int(number / rows * DAYS * 86400)
        if chance.random() < 0.001:
            at -= chance.randint(1, 7200)
        kind = 6 if chance.random() < 0.01 else 2
        yield (
            number,
            user,
            at,
            kind,
            "",
            f"user{user}",
            f"token{token}",
            chance.choice(models),
            chance.randint(0, 5000),
            chance.randint(1, 9000),
            chance.randint(1, 3000),
            chance.randint(1, 30),
            token,
            "default",
            "",
            "" if lean else f"{number:032x}",
            other,
        )


#: The indexes of `logs` that are made for lean files too.
LEAN_INDEXES = ("idx_logs_user_id", "idx_user_id_id", "idx_created_at", "idx_logs_token_id")


def statements(kind: str) -> tuple[list[str], list[str]]:
    """The definitions of the tables, and of the indexes where they stand apart."""
    script = re.sub(r"(?m)^--.*$", "", (SCHEMA / f"newapi_{kind}.sql").read_text())
    every = [text.strip() for text in script.split(";") if text.strip()]
    return (
        [text for text in every if text.startswith("CREATE TABLE")],
        [text for text in every if not text.startswith("CREATE TABLE")],
    )


def accounts() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of users (id, username, password, status, quota, used, access token, aff code) and
    of tokens (id, user, key, status, name, expiry, remaining, used, unlimited)."""
    users, tokens = [], []
    for user in range(1, USERS + 1):
        users.append((user, f"user{user}", "x", 1, 10**9, 10**9, f"{user:032x}", f"a{user}"))
        for token in range((user - 1) * TOKENS + 1, user * TOKENS + 1):
            tokens.append((token, user, f"key{token}", 1, f"token{token}", -1, 10**9, 10**9, 0))
    return users, tokens


USER_SQL = (
    "INSERT INTO users (id, username, password, status, quota, used_quota, access_token, aff_code)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
TOKEN_SQL = (
    "INSERT INTO tokens (id, user_id, {q}key{q}, status, name, expired_time, remain_quota,"
    " used_quota, unlimited_quota) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def log_sql(quote: str) -> str:
    names = ", ".join(f"{quote}{name}{quote}" for name in COLUMNS)
    return f"INSERT INTO logs ({names}) VALUES ({', '.join('?' * len(COLUMNS))})"


def sqlite(path: Path, rows: int, lean: bool = False) -> None:
    """Fill a new file; the indexes come last, which takes a third of the time."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = off")
    connection.execute("PRAGMA synchronous = off")
    tables, indexes = statements("sqlite")
    users, tokens = accounts()
    for text in tables:
        connection.execute(text)
    connection.execute("BEGIN")
    connection.executemany(USER_SQL, users)
    connection.executemany(TOKEN_SQL.format(q='"'), tokens)
    connection.executemany(log_sql('"'), logs(rows, lean))
    connection.execute("COMMIT")
    for text in indexes:
        if not lean or "`logs`" not in text or any(name in text for name in LEAN_INDEXES):
            connection.execute(text)
    connection.execute("PRAGMA journal_mode = delete")
    connection.close()


def mysql(connection: Any, rows: int) -> None:
    """Fill an empty database through an open PyMySQL connection."""
    cursor = connection.cursor()
    for text in statements("mysql")[0]:
        cursor.execute(text)
    users, tokens = accounts()
    cursor.executemany(USER_SQL.replace("?", "%s"), users)
    cursor.executemany(TOKEN_SQL.format(q="`").replace("?", "%s"), tokens)
    sql, batch = log_sql("`").replace("?", "%s"), []
    for row in logs(rows):
        batch.append(row)
        if len(batch) == 5000:
            cursor.executemany(sql, batch)
            batch.clear()
    if batch:
        cursor.executemany(sql, batch)
    connection.commit()
    cursor.execute("ANALYZE TABLE logs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a new SQLite file")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--lean", action="store_true", help="leave out what nobody reads")
    arguments = parser.parse_args()
    sqlite(arguments.file, arguments.rows, arguments.lean)


if __name__ == "__main__":
    main()
