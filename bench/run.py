"""What a request costs beside a bare Flask route: `make bench` (`--json`, `--pairs`).

Pairs of short runs of wrk in alternating order (ABBA), since single ratios on shared machines are
off by a fifth. Nobody writes an access line and no worker is replaced meanwhile, on either side.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fill import PREFIX, fill, fill_gateway
from bench.servers import GRANIAN, GTHREAD, SYNC, Run, Server, Target, run, started
from billing.core.credentials import digest
from billing.database.connection import Database
from billing.database.queries import TABLES, token_by_key
from config import Settings
from tests.support.gateways import Gateway
from tests.support.mariadb import MariaDB
from tests.support.mysql import MySQL
from tests.support.nginx import Nginx
from tests.support.postgresql import PostgreSQL

SUBSCRIPTION, USAGE = "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage"
LOGGING = [*SYNC, "--access-logfile=/dev/null"]

Pair = tuple[Target, Target]


class Stage:
    """Everything that is measured, running side by side: what is not asked costs nothing."""

    def __init__(self, stack: ExitStack, tokens: int) -> None:
        self._stack, self._tokens = stack, tokens
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self._folder.chmod(0o755)
        self._urls = {"SQLite": f"sqlite:///{self._folder / 'billing.db'}"}
        self.versions: dict[str, str] = {}
        for name, kind in (("MariaDB", MariaDB), ("MySQL", MySQL)):
            server = kind()
            stack.callback(server.close)
            self.versions[name] = str(server.execute("SELECT VERSION()")[0][0])
            self._urls[name] = stack.enter_context(server.database())
        for url in self._urls.values():
            fill(url, tokens)
        self._urls["PostgreSQL"] = self._postgresql(stack, tokens)

    def _postgresql(self, stack: ExitStack, tokens: int) -> str:
        """The address of a new-api's database: we keep no tables of ours there."""
        server = PostgreSQL()
        stack.callback(server.close)
        self.versions["PostgreSQL"] = str(server.execute("SHOW server_version")[0][0])
        url = server.url(stack.enter_context(server.database()))
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            fill_gateway(Gateway("newapi", "postgresql", url, connection), tokens)
        return url

    def _serve(self, command: list[str], app: str, workers: int = 2, **env: str) -> Server:
        server: Server = self._stack.enter_context(
            started(command, app, workers, self._folder, **{"WEB_THREADS": "1", **env})
        )
        return server

    def _environment(self, database: str) -> dict[str, str]:
        mode = "attached" if database == "PostgreSQL" else "embedded"
        return {"DATABASE_URL": self._urls[database], "BILLING_MODE": mode}

    def _ours(self, command: list[str], database: str, workers: int = 2, **env: str) -> Server:
        more = {**self._environment(database), **env}
        return self._serve(command, "wsgi:app", workers, **more)

    def _token_sql(self, database: str) -> str:
        """The service's own read of one token and its user."""
        settings = Settings.from_env(self._environment(database))
        with closing(Database(settings.database_url, 10, tables=TABLES)) as opened:
            opened.start_time_budget()
            sql: str = opened.call(lambda columns: columns.compile(token_by_key)).sql
        key = f"{PREFIX}1"
        return sql.replace("%s", f"'{key if database == 'PostgreSQL' else digest(key)}'")

    def _proxied(self, server: Server) -> Server:
        """nginx as deploy/nginx.conf has it, its rate limit and its access log aside."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        changes = {
            "limit_req zone=billing burst=200 nodelay;": "",
            f"access_log {folder}/billing.access.log billing;": "access_log off;",
        }
        nginx = Nginx(folder, Path(server.url.removeprefix("unix:")), changes)
        self._stack.callback(nginx.close)
        return server._replace(url=nginx.url)

    def _socket(self, name: str) -> str:
        return str(self._folder / f"{name}.sock")

    def pairs(self) -> Iterator[Pair]:
        """Each target with the bare Flask route that it is compared with."""

        def target(name: str, server: Server, path: str = SUBSCRIPTION, known: bool = True) -> Any:
            return Target(name, server, path, self._tokens, known)

        flask = target("Flask, sync", self._serve(SYNC, "bench.apps:flask"))
        yield flask, target("bare WSGI, sync", self._serve(SYNC, "bench.apps:bare"))
        yield flask, target("Flask, sync, access log", self._serve(LOGGING, "bench.apps:flask"))
        default = target("Flask, 8 threads", self._serve(SYNC, "bench.apps:flask", WEB_THREADS="8"))
        ours = self._ours(SYNC, "SQLite", WEB_THREADS="8")
        yield default, target("subscription, SQLite, 8 threads each", ours)
        for database in self._urls:
            ours = self._ours(SYNC, database)
            yield flask, target(f"subscription, {database}, sync", ours)
            yield flask, target(f"usage, {database}, sync", ours, USAGE)
            threads = self._ours(SYNC, database, WEB_THREADS="8")
            synchronous = target(f"subscription, {database}, sync", ours)
            yield synchronous, target(f"subscription, {database}, 8 threads", threads)
            if database == "SQLite":
                yield flask, target("unknown token (401), SQLite, sync", ours, known=False)
            else:
                environment, token_sql = self._environment(database), self._token_sql(database)
                for what, sql in (("a 1", "SELECT 1"), ("a token", token_sql)):
                    env = {**environment, "BENCH_SQL": sql}
                    asks = self._serve(SYNC, "bench.apps:asks()", 2, **env)
                    yield flask, target(f"Flask that asks for {what}, {database}", asks)
            if database in ("MariaDB", "MySQL"):
                by_c = {"DATABASE_URL": self._urls[database].replace("?driver=pymysql", "")}
                ours = self._ours(SYNC, database, 2, **by_c)
                yield flask, target(f"subscription, {database}, mysqlclient", ours)
                env = {**environment, "BENCH_SQL": token_sql, **by_c}
                asks = self._serve(SYNC, "bench.apps:asks()", 2, **env)
                yield flask, target(f"Flask that asks for a token, {database}, mysqlclient", asks)
        threaded = target("Flask, gthread", self._serve(GTHREAD, "bench.apps:flask"))
        for database in ("SQLite", "MariaDB"):
            ours = self._ours(GTHREAD, database)
            yield threaded, target(f"subscription, {database}, gthread", ours)
        behind = self._serve(SYNC, "bench.apps:flask", SOCKET=self._socket("flask"))
        proxied = target("Flask, nginx", self._proxied(behind))
        ours = self._ours(SYNC, "SQLite", SOCKET=self._socket("ours"), TRUSTED_PROXY_HOPS="1")
        yield proxied, target("subscription, SQLite, nginx", self._proxied(ours))
        alone = target("Flask, sync, 1 worker", self._serve(SYNC, "bench.apps:flask", 1))
        ours = self._ours(GRANIAN, "SQLite", 1)
        yield alone, target("subscription, SQLite, granian, 1 worker", ours)


def measured(pair: Pair, pairs: int, seconds: int) -> dict[str, Any]:
    """Both targets' medians, and of the second their ratio to the first."""
    reference, candidate = pair
    run(candidate, 1)
    runs: dict[Target, list[Run]] = {reference: [], candidate: []}
    for number in range(pairs):
        for target in pair if number % 2 == 0 else reversed(pair):
            runs[target].append(run(target, seconds))

    def medians(target: Target) -> dict[str, float]:
        columns = zip(*runs[target], strict=True)
        named = zip(Run._fields, columns, strict=True)
        return {name: statistics.median(values) for name, values in named}

    ratios = [b.rate / a.rate for a, b in zip(runs[reference], runs[candidate], strict=True)]
    ours, theirs = medians(candidate), medians(reference)
    return {
        "target": candidate.name,
        "against": reference.name,
        "reference": theirs,
        **ours,
        "ratio": statistics.median(ratios),
        "ratios": sorted(ratios),
        "cpu_ratio": theirs["cpu"] / ours["cpu"],
        "p99_ratio": ours["p99"] / theirs["p99"],
    }


def machine() -> dict[str, Any]:
    processor = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(": ")[2]
    packages = ("Flask", "Werkzeug", "gunicorn", "granian", "peewee", "PyMySQL", "marshmallow")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="every figure, for scripts")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1, help="of each run")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--only", default="", help="the targets whose name has this text")
    arguments = parser.parse_args()
    results = []
    with ExitStack() as stack:
        stage = Stage(stack, arguments.tokens)
        facts = {**machine(), **stage.versions}
        if not arguments.json:
            print(", ".join(f"{name} {value}" for name, value in facts.items()))
            print(
                f"{'':41} req/s  p99 ms  CPU µs   ratio (lowest-highest)  of CPU  of p99  against"
            )
        for pair in stage.pairs():
            if arguments.only not in pair[1].name:
                continue
            found = measured(pair, arguments.pairs, arguments.seconds)
            results.append(found)
            if not arguments.json:
                print(row(found), flush=True)
    if arguments.json:
        print(json.dumps({"machine": facts, "results": results}, indent=1))


def row(found: dict[str, Any]) -> str:
    spread = f"({found['ratios'][0]:.2f}-{found['ratios'][-1]:.2f})"
    return (
        f"{found['target']:40} {found['rate']:6.0f} {found['p99']:7.1f} {found['cpu']:7.0f}"
        f" {found['ratio']:7.2f} {spread:15} {found['cpu_ratio']:7.2f} {found['p99_ratio']:7.2f}"
        f"  {found['against']} {found['reference']['rate']:.0f}"
    )


if __name__ == "__main__":
    main()
