"""When Chromium first paints the panel, beside a line of text; `--also` for other pages.

Each view is in a fresh profile of a browser that runs already, in a new tab that nothing watches
until it has loaded: what Playwright does to a page while it loads takes longer than the page does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fill import fill
from bench.servers import SYNC, started
from tests.support.http_client import ask
from tests.support.processes import free_port, program, wait_for

SETTLE_SECONDS = 1.5
LOAD_SECONDS = 1.5
TIMES = """() => [
    performance.getEntriesByName("first-contentful-paint")[0].startTime,
    Math.max(0, ...performance.getEntriesByType("resource").map((each) => each.responseEnd)),
]"""


@contextmanager
def browser() -> Iterator[str]:
    """A Chromium with an empty profile and nothing to do; the address of its remote control."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--no-first-run", "--window-size=1280,720"]
        own = [f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [program("chromium"), *flags, *own, "about:blank"], stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: ask(url, "/json/version").status == 200, "Chromium")
            time.sleep(SETTLE_SECONDS)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def view(playwright: Playwright, page: str) -> tuple[float, float]:
    """Milliseconds until the first contentful paint, and until the last module was there."""
    with browser() as control:
        request = urllib.request.Request(f"{control}/json/new?{page}", method="PUT")
        with urllib.request.urlopen(request) as answer:
            opened = json.load(answer)["url"]
        time.sleep(LOAD_SECONDS)
        connected = playwright.chromium.connect_over_cdp(control)
        [tab] = [each for each in connected.contexts[0].pages if each.url.startswith(opened)]
        painted, loaded = tab.evaluate(TIMES)
        return painted, loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=9)
    parser.add_argument("--also", nargs="*", default=[], metavar="URL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sync_playwright() as playwright:
        folder = Path(name)
        url = f"sqlite:///{folder / 'billing.db'}"
        fill(url, 1)
        with (
            started(SYNC, "wsgi:app", 2, folder, DATABASE_URL=url) as service,
            started(SYNC, "bench.apps:flask", 2, folder) as flask,
        ):
            line = f"{flask.url}/line"
            names = {f"{service.url}/dashboard/billing/": "the panel", line: "a line of text"}
            names |= {each: each for each in options.also}
            views: dict[str, list[tuple[float, float]]] = {page: [] for page in names}
            for _ in range(options.views):
                for page, found in views.items():
                    found.append(view(playwright, page))
    of_line = statistics.median(painted for painted, _ in views[line])
    for page, found in views.items():
        painted = [each for each, _ in found]
        median, loaded = statistics.median(painted), statistics.median(each for _, each in found)
        print(
            f"{names[page]}: painted after {median:.0f} ms ({min(painted):.0f} to"
            f" {max(painted):.0f}), {median / of_line:.1f} times the line;"
            f" all there after {loaded:.0f} ms"
        )


if __name__ == "__main__":
    main()
