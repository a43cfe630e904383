"""What the usage cache costs: its first fill, who notices it, and questions that it answers.

Of SQLite files that bench/data.py made, which are written to, and of MariaDB. User 1 has a tenth of
all rows, user 7 a 220th; 90 days by model. While user 1's history is read for the first time, a
light caller asks for its limits all the time, and in a second run stand-ins for gateways write to
the file and to another one beside it: how many commits go to the one for each that goes to the
other, by which noise of the disk cancels out. Last, a question without the cache beside one of
another checkout.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.data import END, sqlite
from bench.mariadb_logs import mariadb
from bench.servers import GTHREAD, started
from bench.writer import LOG, TAKE
from billing import create_app
from billing.core.log_slices import oldest_row
from config import Settings
from tests.support.http_client import ask
from tests.support.processes import ROOT, environment

LAST = datetime.fromtimestamp(END, UTC) - timedelta(days=1)
FIRST = LAST - timedelta(days=90)
PATH = (
    "/v1/dashboard/billing/usage?include=daily_costs"
    f"&start_date={FIRST.date()}&end_date={LAST.date()}"
)
LIMITS = "/v1/dashboard/billing/subscription"
#: Seconds that are measured without the fill, before it and after it.
ALONE = 10
#: Questions of one user that are measured.
QUESTIONS = 21

#: Answers the path in argv[1] as user 1, and prints the seconds of processor time that it took.
ONE_ANSWER = """
import os, sys, time
from billing import create_app
from config import Settings
client = create_app(Settings.from_env(dict(os.environ))).test_client()
headers = {"Authorization": f"{1:032x}", "New-Api-User": "1"}
client.get("/v1/dashboard/billing/subscription", headers=headers)
before = time.process_time()
assert client.get(sys.argv[1], headers=headers).status_code == 200
print(time.process_time() - before)
"""


def account(user: int) -> dict[str, str]:
    return {"Authorization": f"{user:032x}", "New-Api-User": str(user)}


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """The median and the 99th, in milliseconds."""
    ordered = sorted(seconds)
    return statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.99)] * 1000


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
    fill, began = FirstFill(url), time.monotonic()
    fill.thread.start()
    yield fill
    fill.thread.join()
    print(
        f"  first fill: {time.monotonic() - began:.0f} s, {len(fill.took)} questions, the longest"
        f" {max(fill.took):.2f} s; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


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
    alone = light_latencies(url, after(ALONE))
    with filling(url) as fill:
        beside = light_latencies(url, lambda: not fill.thread.is_alive())
    alone += light_latencies(url, after(ALONE))
    for name, one, other in zip(
        ("median", "p99"), percentiles(alone), percentiles(beside), strict=True
    ):
        print(f"  light callers' {name}: {one:.1f} ms alone, {other:.1f} meanwhile", end="")
        print(f": ratio {other / one:.2f}", flush=True)


def _write(file: Path, gap: float, count: Any) -> None:
    """Commit for ever; so many seconds lie between the beginnings of two commits at least."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as connection:
        while True:
            began = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(TAKE)
            connection.execute(LOG)
            connection.execute("COMMIT")
            count.value += 1
            time.sleep(max(began + gap - time.monotonic(), 0) if gap else 0)


@contextmanager
def writing(file: Path, gap: float) -> Iterator[Callable[[], int]]:
    """Says how many commits there were."""
    count = multiprocessing.Value("q")
    process = multiprocessing.Process(target=_write, args=(file, gap, count), daemon=True)
    process.start()
    try:
        yield lambda: count.value
    finally:
        process.terminate()
        process.join()


def beside_writer(url: str, file: Path, folder: Path, gap: float) -> None:
    other = folder / "another.db"
    sqlite(other, 50_000)
    with ExitStack() as stack:
        counts = [stack.enter_context(writing(path, gap)) for path in (file, other)]
        time.sleep(1)
        marks = [(time.monotonic(), *(count() for count in counts))]

        def mark() -> None:
            marks.append((time.monotonic(), *(count() for count in counts)))

        time.sleep(ALONE)
        mark()
        with filling(url):
            pass
        mark()
        time.sleep(ALONE)
        mark()
    other.unlink()
    rates = [
        [(now - then) / (late[0] - early[0]) for then, now in zip(early[1:], late[1:], strict=True)]
        for early, late in pairwise(marks)
    ]
    quotients = [ours / others for ours, others in rates]
    pace = f"{1 / gap:.0f} commits/s" if gap else "as fast as it can"
    print(
        f"  writer, {pace}: {rates[0][0]:.0f} and {rates[2][0]:.0f} commits/s alone,"
        f" {rates[1][0]:.0f} meanwhile; beside another file's"
        f" {', '.join(f'{value:.3f}' for value in quotients)}: ratio"
        f" {quotients[1] / statistics.mean((quotients[0], quotients[2])):.3f}",
        flush=True,
    )


def warm(env: dict[str, str]) -> None:
    """Fill without pauses, then ask."""
    app = create_app(Settings.from_env({**env, "DATABASE_TIMEOUT": "60"}))
    client, service = app.test_client(), app.extensions["billing"]
    cache, medians = service.usage_cache, []
    for user in (1, 7):
        began, used = time.perf_counter(), time.process_time()
        service.start_request()
        period = int(FIRST.timestamp()), int(LAST.timestamp())
        fill = cache.filling(user, period, oldest_row(cache.database))
        while not fill.is_done():
            service.start_request()
            fill.step()
        took, spent = time.perf_counter() - began, time.process_time() - used
        print(f"  user {user}: read in {fill.slices} slices, {took:.1f} s", end="")
        print(f", {spent:.1f} s of processor time")
        if client.get(PATH, headers=account(user)).status_code != 200:
            raise SystemExit("the cache is not full")
        answers = []
        for _ in range(QUESTIONS):
            began, used = time.perf_counter(), time.process_time()
            client.get(PATH, headers=account(user))
            answers.append((time.perf_counter() - began, time.process_time() - used))
        times, cpu = map(list, zip(*answers, strict=True))
        medians.append(statistics.median(cpu))
        print(
            f"  user {user} warm: median {statistics.median(times) * 1000:.1f} ms, shortest"
            f" {min(times) * 1000:.1f}, processor time {medians[-1] * 1000:.1f} ms"
        )
    print(f"  heavy to light, processor time: {medians[0] / medians[1]:.2f}", flush=True)
    service.close()


def without_cache(env: dict[str, str], checkout: Path, pairs: int) -> None:
    """Ours and another checkout's processor time for 30 days, in pairs of alternating order.

    Not for 90: no statement may take more than 2 s on an attached SQLite file.
    """
    path = PATH.replace(str(FIRST.date()), str((LAST - timedelta(days=30)).date()))

    def seconds(folder: Path) -> float:
        command = [sys.executable, "-c", ONE_ANSWER, path]
        more = {**env, "USAGE_CACHE": "off", "DATABASE_TIMEOUT": "60", "PYTHONPATH": str(folder)}
        output = subprocess.run(
            command, cwd=folder, env=environment(more), check=True, capture_output=True, text=True
        ).stdout
        return float(output)

    found = []
    for number in range(pairs):
        order = (ROOT, checkout) if number % 2 else (checkout, ROOT)
        took = {folder: seconds(folder) for folder in order}
        found.append((took[ROOT], took[checkout]))
    ours, theirs = (statistics.median(times) for times in zip(*found, strict=True))
    ratio = statistics.median(one / other for one, other in found)
    print(
        f"  without the cache: {ours:.2f} s of processor time, {checkout.name} {theirs:.2f}", end=""
    )
    print(f": ratio {ratio:.2f}", flush=True)


def of_file(file: Path, arguments: argparse.Namespace) -> None:
    print(f"{file.name}: {file.stat().st_size / 1e9:.1f} GB; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=file.parent) as name:
        folder = Path(name)
        env = {"BILLING_MODE": "attached", "DATABASE_URL": f"sqlite:///{file}"}
        if "warm" in arguments.parts:
            warm({**env, "USAGE_CACHE": str(folder / "usage.db")})
        for part, gap in (("light", -1.0), ("writer", 0.0), ("paced", 0.02)):
            if part in arguments.parts:
                cache = {"USAGE_CACHE": str(folder / f"{part}.db")}
                with started(GTHREAD, "wsgi:app", 2, folder, **env, **cache) as server:
                    if part == "light":
                        beside_light_callers(server.url)
                    else:
                        beside_writer(server.url, file, folder, gap)
        if arguments.checkout is not None:
            without_cache(env, arguments.checkout.resolve(), arguments.pairs)


def of_mariadb(rows: int) -> None:
    with mariadb(rows) as (url, _), tempfile.TemporaryDirectory(prefix="bench-") as name:
        print(f"MariaDB, {rows} rows; load {os.getloadavg()[0]:.1f}")
        cache = {"USAGE_CACHE": str(Path(name) / "usage.db")}
        warm({"BILLING_MODE": "attached", "DATABASE_URL": url, **cache})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument(
        "--parts", nargs="*", default=["warm", "light", "writer", "paced"], help="of each file"
    )
    parser.add_argument("--mariadb-rows", type=int, default=0)
    parser.add_argument("--checkout", type=Path, help="of another version, to compare with")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    for file in arguments.files:
        of_file(file.resolve(), arguments)
    if arguments.mariadb_rows:
        of_mariadb(arguments.mariadb_rows)


if __name__ == "__main__":
    main()
