"""What the usage cache costs: its first fill, who notices it, and questions that it answers.

Of a SQLite file that bench/data.py made, which is written to. User 1 has a tenth of all rows, user
7 a 220th; 90 days by model. While user 1's history is read for the first time, a light caller asks
for its limits all the time, and in a second run a stand-in for the gateway writes as fast as it
can; beside each, the same alone.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.data import END
from bench.servers import GTHREAD, started
from bench.writer import LOG, TAKE, commits
from billing import create_app
from config import Settings
from tests.support.http_client import ask

LAST = datetime.fromtimestamp(END, UTC) - timedelta(days=1)
PATH = (
    "/v1/dashboard/billing/usage?include=daily_costs"
    f"&start_date={(LAST - timedelta(days=90)).date()}&end_date={LAST.date()}"
)
LIMITS = "/v1/dashboard/billing/subscription"


def account(user: int) -> dict[str, str]:
    return {"Authorization": f"{user:032x}", "New-Api-User": str(user)}


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[int(len(ordered) * 0.99)]
    return f"median {statistics.median(ordered) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"


class FirstFill:
    """Asks for user 1's days until there is an answer, as the panel does."""

    def __init__(self, url: str) -> None:
        self._url, self.took = url, list[float]()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while True:
            began = time.monotonic()
            answer = ask(self._url, PATH, account(1))
            self.took.append(time.monotonic() - began)
            if answer.status == 200:
                return
            time.sleep(int(answer.headers["Retry-After"]))


@contextmanager
def filling(url: str) -> Iterator[FirstFill]:
    fill = FirstFill(url)
    fill.thread.start()
    yield fill
    fill.thread.join()
    print(f"  first fill: {len(fill.took)} questions, the longest {max(fill.took):.2f} s")


def light_latencies(url: str, is_over: Callable[[], bool]) -> list[float]:
    took = []
    while not is_over():
        began = time.monotonic()
        if ask(url, LIMITS, {"Authorization": "Bearer key30"}).status != 200:
            raise SystemExit("a light caller was refused")
        took.append(time.monotonic() - began)
        time.sleep(0.002)
    return took


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def beside_light_callers(url: str) -> None:
    alone = light_latencies(url, after(10))
    with filling(url) as fill:
        beside = light_latencies(url, lambda: not fill.thread.is_alive())
    print(f"  light callers alone: {percentiles(alone)}; meanwhile: {percentiles(beside)}")


def beside_writer(url: str, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as connection:

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(TAKE)
            connection.execute(LOG)
            connection.execute("COMMIT")

        commits(commit, 1)
        alone, beside = [commits(commit, 5)], []
        with filling(url) as fill:
            while fill.thread.is_alive():
                beside.append(commits(commit, 1))
        alone.append(commits(commit, 5))
    rates = statistics.mean(alone), statistics.mean(beside)
    print(f"  writer: {rates[0]:.0f} commits/s alone, {rates[1]:.0f} meanwhile: ratio", end=" ")
    print(f"{rates[1] / rates[0]:.2f}", flush=True)


def warm(env: dict[str, str]) -> None:
    app = create_app(Settings.from_env({**env, "DATABASE_TIMEOUT": "60"}))
    client = app.test_client()
    medians = []
    for user in (1, 7):
        answer = client.get(PATH, headers=account(user))
        while answer.status_code == 503:
            time.sleep(int(answer.headers["Retry-After"]))
            answer = client.get(PATH, headers=account(user))
        took, spent = [], []
        for _ in range(21):
            began, used = time.perf_counter(), time.process_time()
            client.get(PATH, headers=account(user))
            took.append(time.perf_counter() - began)
            spent.append(time.process_time() - used)
        medians.append(statistics.median(took))
        print(
            f"  user {user} warm: median {medians[-1] * 1000:.1f} ms, shortest"
            f" {min(took) * 1000:.1f}, processor time {statistics.median(spent) * 1000:.1f}"
        )
    print(f"  heavy to light: {medians[0] / medians[1]:.2f}", flush=True)
    app.extensions["billing"].close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file.resolve()
    print(f"{file.stat().st_size / 1e9:.1f} GB; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=file.parent) as name:
        folder = Path(name)
        env = {"BILLING_MODE": "attached", "DATABASE_URL": f"sqlite:///{file}"}
        for number in range(2):
            cache = {"USAGE_CACHE": str(folder / f"usage-{number}.db")}
            with started(GTHREAD, "wsgi:app", 2, folder, **env, **cache) as server:
                if number:
                    beside_writer(server.url, file)
                else:
                    beside_light_callers(server.url)
        warm({**env, **cache})


if __name__ == "__main__":
    main()
