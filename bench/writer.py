"""Whether a gateway writes as fast beside us as alone: commits a second of a stand-in for it.

An attached new-api, its SQLite file with a rollback journal or its tables in MariaDB. The stand-in
takes from a token and logs a use in one transaction, as fast as it can: alone, while wrk keeps two
workers of a bare Flask route fully busy (which takes the same processors and no lock), and ours.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.data import sqlite
from bench.mariadb_logs import mariadb
from bench.servers import CONNECTIONS, KEYS, SYNC, Server, started
from tests.support.processes import program

PATH = "/v1/dashboard/billing/subscription"
TAKE = "UPDATE tokens SET remain_quota = remain_quota - 1, used_quota = used_quota + 1 WHERE id = 7"
LOG = "INSERT INTO logs (user_id, created_at, type, quota, token_id) VALUES (2, 1, 2, 1, 7)"


def commits(commit: Callable[[], None], seconds: float = 2) -> float:
    """Commits a second; a lock that lasts too long fails the run."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        commit()
        count += 1
    return count / seconds


def compare(name: str, url: str, commit: Callable[[], None], folder: Path, pairs: int = 5) -> None:
    env = {"DATABASE_URL": url, "BILLING_MODE": "attached"}
    found: dict[str, list[float]] = {"alone": [], "beside Flask": [], "beside us": []}
    with (
        started(SYNC, "bench.apps:flask", 2, folder) as flask,
        started(SYNC, "wsgi:app", 2, folder, **env) as ours,
    ):
        loads = {"alone": None, "beside Flask": flask, "beside us": ours}
        commits(commit, 0.5)
        for number in range(pairs):
            for label in list(found)[:: 1 if number % 2 else -1]:
                with busy(loads[label]):
                    found[label].append(commits(commit))
    figures = [f"{label} {statistics.median(rates):.0f}" for label, rates in found.items()]
    pairs_of = zip(found["beside us"], found["beside Flask"], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs_of)
    print(f"{name}: commits/s {', '.join(figures)}; ours to Flask {ratio:.2f}", flush=True)


@contextmanager
def busy(server: Server | None) -> Iterator[None]:
    """Ask the server all the time, if there is one."""
    if server is None:
        yield
        return
    load = [
        *(program("wrk"), "-t1", f"-c{CONNECTIONS}", "-d600s", "-s", str(KEYS)),
        *(server.url, "--", "key", "800", PATH),
    ]
    with subprocess.Popen(load, stdout=subprocess.DEVNULL) as wrk:
        time.sleep(0.3)
        try:
            yield
        finally:
            wrk.kill()


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        file = folder / "newapi.db"
        sqlite(file, 50_000)
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as connection:

            def commit() -> None:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(TAKE)
                connection.execute(LOG)
                connection.execute("COMMIT")

            compare("SQLite", f"sqlite:///{file}", commit, folder)
        with mariadb(50_000) as (url, remote):

            def commit_there() -> None:
                with remote.cursor() as cursor:
                    cursor.execute(TAKE)
                    cursor.execute(LOG)
                remote.commit()

            compare("MariaDB", url, commit_there, folder)


if __name__ == "__main__":
    main()
