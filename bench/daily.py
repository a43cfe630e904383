"""What daily costs take beside the straightforward query: the second half of `make bench-data`.

An attached new-api with 5 million log rows on SQLite (bench/data.py made the file) and 2 million
on MariaDB. Ours is the whole request, in process; the straightforward query names the owner, the
times and the types, and leaves the rest to the database. Pairs in alternating order.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.data import DAYS, END
from bench.mariadb_logs import mariadb
from billing import create_app
from config import Settings

#: The day after the last that is asked for.
LAST = datetime.fromtimestamp(END, UTC) - timedelta(days=1)
CALLERS = {
    # The first user has a tenth of all rows, its first token a fortieth.
    "user": ("user_id", {"Authorization": f"{1:032x}", "New-Api-User": "1"}),
    "token": ("token_id", {"Authorization": "Bearer key1"}),
}
STRAIGHT = (
    "SELECT {day}, model_name, SUM(CASE type WHEN 6 THEN -quota ELSE quota END) FROM logs"
    " WHERE {owner} = 1 AND created_at >= {start} AND created_at < {end} AND type IN (2, 6)"
    " GROUP BY 1, 2"
)

Query = Callable[[str], list[Any]]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(name: str, url: str, query: Query, day: str, pairs: int) -> None:
    env = {"BILLING_MODE": "attached", "DATABASE_URL": url, "DATABASE_TIMEOUT": "60"}
    # Of the logs themselves: bench/cache.py measures what is remembered of them.
    app = create_app(Settings.from_env({**env, "USAGE_CACHE": "off"}))
    client = app.test_client()
    for days in (7, 90):
        start = LAST - timedelta(days=days)
        path = (
            "/v1/dashboard/billing/usage?include=daily_costs"
            f"&start_date={start.date()}&end_date={LAST.date()}"
        )
        for caller, (owner, headers) in CALLERS.items():
            bounds = {"start": int(start.timestamp()), "end": int(LAST.timestamp())}
            sql = STRAIGHT.format(day=day, owner=owner, **bounds)

            def ask(path: str = path, headers: dict[str, str] = headers) -> None:
                answer = client.get(path, headers=headers)
                if answer.status_code != 200:
                    raise SystemExit(f"{path}: {answer.get_data(as_text=True)}")

            def straight(sql: str = sql) -> None:
                query(sql)

            ask()
            straight()
            ours, theirs = [], []
            for number in range(pairs):
                if number % 2:
                    ours.append(seconds(ask))
                    theirs.append(seconds(straight))
                else:
                    theirs.append(seconds(straight))
                    ours.append(seconds(ask))
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{name:8} {days:3} days, {caller:5}  ours {statistics.median(ours) * 1000:7.0f} ms"
                f"  straightforward {statistics.median(theirs) * 1000:7.0f} ms  ratio {ratio:.2f}",
                flush=True,
            )
    app.extensions["billing"].close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="what bench/data.py made; only read")
    parser.add_argument("--mariadb-rows", type=int, default=2_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{DAYS} days of logs; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    path = arguments.file.resolve()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        compare(
            "SQLite",
            f"sqlite:///{path}",
            lambda sql: connection.execute(sql).fetchall(),
            "created_at / 86400",
            arguments.pairs,
        )
    with mariadb(arguments.mariadb_rows) as (url, connection):
        cursor = connection.cursor()

        def query(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        compare("MariaDB", url, query, "created_at DIV 86400", arguments.pairs)


if __name__ == "__main__":
    main()
