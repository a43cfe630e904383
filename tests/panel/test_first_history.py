"""A gateway's long history, read for the first time while its owner waits before the page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from billing.database.usage_file import UsageFile
from config import database_url
from tests.panel.conftest import DAY, TODAY, Panel, in_dollars
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.gunicorn import Gunicorn

#: Uses of 500 quota units, a tenth of a cent, over the twenty days before today.
ROWS = 100_000

MANY_ROWS = f"""
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROWS})
INSERT INTO logs (id, user_id, token_id, type, model_name, quota, prompt_tokens, completion_tokens,
    created_at)
SELECT n, 1, 2, 2, 'gpt-4o', 500, 3, 1, {TODAY - 20 * DAY} + n * {20 * DAY - 7200} / {ROWS}
FROM number
"""


@pytest.fixture
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.execute("PRAGMA journal_mode = WAL")
        gateway.user()
        gateway.token(1, id=2, remain_quota=10**9, used_quota=500 * ROWS)
        gateway.execute(MANY_ROWS)
        yield gateway


def test_a_bar_shows_how_much_is_read_until_the_days_are_there(
    panel: Callable[..., Panel],
    newapi: Gateway,
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
) -> None:
    path = tmp_path / "usage.db"
    env = {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url, "USAGE_CACHE": str(path)}
    # As a worker that reads for somebody else: on a quick machine the bar would be gone at once.
    file = UsageFile(path, database_url(newapi.url).identity)
    assert file.claim("another worker", time.time(), time.time() + 60)

    screen = panel(gunicorn(env).url).open().ask(KEY)

    bar = screen.page.get_by_role("progressbar")
    expect(bar).to_be_visible()
    expect(bar).to_have_attribute("aria-valuenow", re.compile("[0-9]+"))
    file.release("another worker")
    file.close()
    expect(screen.page.locator(".day").last).to_be_visible(timeout=90_000)
    expect(bar).to_have_count(0)
    screen.shows("#days", in_dollars(ROWS / 1000))
