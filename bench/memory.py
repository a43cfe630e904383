"""What a worker holds in memory after 2 thousand and after 200 thousand requests, over SQLite."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fill import fill
from bench.servers import SYNC, Server, Target, run, started

PATH = "/v1/dashboard/billing/subscription"
TOKENS = 100_000


def megabytes(server: Server, field: str) -> float:
    """The largest worker's `Rss`, or `Anonymous`: what of it is not of files in the page cache."""
    sizes = []
    for pid in server.processes()[1:]:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes.append(int(re.findall(rf"(?m)^{field}:\s+(\d+) kB", text)[0]) / 1024)
    return max(sizes)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'billing.db'}"
        fill(url, TOKENS)
        with started(SYNC, "wsgi:app", 2, folder, DATABASE_URL=url) as server:
            target = Target("memory", server, PATH, TOKENS)
            asked = 0.0
            for goal in (2_000, 50_000, 100_000, 200_000):
                while asked < goal:
                    seconds = 1 if goal < 50_000 else 5
                    asked += run(target, seconds).rate * seconds
                rss, own = megabytes(server, "Rss"), megabytes(server, "Anonymous")
                print(
                    f"{asked:7.0f} requests: {rss:.1f} MiB, of which {own:.1f} its own", flush=True
                )


if __name__ == "__main__":
    main()
