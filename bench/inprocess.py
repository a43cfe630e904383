"""What a request costs without a server: the WSGI applications called directly, and a profile.

Steadier than `make bench`, as no other process takes part: the least of many short runs of each,
in turn, over SQLite files of 1 thousand, 100 thousand and, with `--million`, 1 million tokens.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.apps import flask
from bench.fill import PREFIX, fill
from billing import create_app
from config import Settings

SUBSCRIPTION, USAGE = "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage"
REQUESTS = 1000

Ask = Callable[[], None]


def asking(wsgi: Any, path: str, prefix: str, tokens: int, status: str = "200 OK") -> Ask:
    """A function that makes one request with a random key."""

    def start(given: str, headers: Iterable[Any], exc_info: Any = None) -> None:
        if given != status:
            raise SystemExit(f"{path}: {given}")

    def ask() -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_AUTHORIZATION": f"Bearer sk-{prefix}{random.randint(1, tokens)}",
            "wsgi.url_scheme": "http",
        }
        answer = wsgi(environ, start)
        b"".join(answer)
        getattr(answer, "close", lambda: None)()

    return ask


def microseconds(ask: Ask) -> float:
    began = time.process_time()
    for _ in range(REQUESTS):
        ask()
    return (time.process_time() - began) / REQUESTS * 1e6


def profile(ask: Ask) -> dict[Any, tuple[float, float]]:
    """Microseconds and calls of each function in one request."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(REQUESTS):
        ask()
    profiler.disable()
    stats: Any = pstats.Stats(profiler)
    return {key: (row[2] / REQUESTS * 1e6, row[1] / REQUESTS) for key, row in stats.stats.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    cases = {"bare Flask": asking(flask, SUBSCRIPTION, PREFIX, 1)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        applications = []
        for tokens in (1_000, 100_000, 1_000_000)[: 3 if arguments.million else 2]:
            url = f"sqlite:///{folder}/{tokens}.db"
            fill(url, tokens)
            app = create_app(Settings.from_env({"DATABASE_URL": url}))
            applications.append(app)
            cases[f"subscription, {tokens} tokens"] = asking(app, SUBSCRIPTION, PREFIX, tokens)
            if tokens == 100_000:
                cases["usage"] = asking(app, USAGE, PREFIX, tokens)
                unknown = asking(app, SUBSCRIPTION, "unknown", tokens, "401 UNAUTHORIZED")
                cases["unknown token (401)"] = unknown
        best = dict.fromkeys(cases, float("inf"))
        for _ in range(arguments.rounds):
            for name, ask in cases.items():
                best[name] = min(best[name], microseconds(ask))
        for name, least in best.items():
            print(f"{name:32} {least:6.1f} µs  {least - best['bare Flask']:+6.1f}")
        bare, ours = (profile(cases[name]) for name in ("bare Flask", "usage"))
        more = {key: ours[key][0] - bare.get(key, (0, 0))[0] for key in ours}
        print("\nWhere usage spends more than bare Flask (under the profiler, which doubles it):")
        for key in sorted(more, key=lambda key: -more[key])[:15]:
            print(f"{more[key]:6.1f} µs  {ours[key][1]:4.1f} calls  {key[2]} ({Path(key[0]).name})")
        for app in applications:
            app.extensions["billing"].close()


if __name__ == "__main__":
    main()
