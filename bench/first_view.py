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
from tests.support.processes import free_port, program, wait_for

SETTLING = 1.5
LOADING = 1.5
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


@contextmanager
def browser() -> Iterator[str]:
    """A Chromium with an empty profile and nothing to do; the address of its remote control."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--no-first-run", "--window-size=1280,720"]
        place = [f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [program("chromium"), *flags, *place, "about:blank"], stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: urllib.request.urlopen(f"{url}/json/version").read(), "Chromium")
            time.sleep(SETTLING)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def first_view(playwright: Playwright, page: str) -> float:
    """Milliseconds from the start of the navigation to the first contentful paint."""
    with browser() as control:
        request = urllib.request.Request(f"{control}/json/new?{page}", method="PUT")
        tab = json.load(urllib.request.urlopen(request))
        time.sleep(LOADING)
        connected = playwright.chromium.connect_over_cdp(control)
        [shown] = [each for each in connected.contexts[0].pages if each.url.startswith(tab["url"])]
        return float(shown.evaluate(FIRST_PAINT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=9)
    parser.add_argument("--also", nargs="*", default=[], metavar="URL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sync_playwright() as playwright:
        folder = Path(name)
        url = f"sqlite:///{folder / 'billing.db'}"
        fill(url, 1)
        with (
            started(SYNC, "wsgi:app", 2, folder, DATABASE_URL=url) as service,
            started(SYNC, "bench.apps:flask", 2, folder) as flask,
        ):
            line = f"{flask.url}/line"
            pages = {f"{service.url}/dashboard/billing/": "the panel", line: "a line of text"}
            pages |= {each: each for each in given.also}
            views: dict[str, list[float]] = {page: [] for page in pages}
            for _ in range(given.views):
                for page, found in views.items():
                    found.append(first_view(playwright, page))
    for page, found in views.items():
        median = statistics.median(found)
        ratio = median / statistics.median(views[line])
        spread = f"{min(found):.0f} to {max(found):.0f}"
        print(f"{pages[page]}: {median:.0f} ms ({spread}), {ratio:.1f} times the line")


if __name__ == "__main__":
    main()
