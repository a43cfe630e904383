"""A key with very many models: a gateway's users choose the names that they ask for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from tests.panel.conftest import TODAY, Panel
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn

MODELS = 150_000


def test_the_models_of_a_huge_range_are_shown_and_downloaded(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    sqlite_billing.user()
    token = sqlite_billing.token("alice", "--usd", "100")
    sqlite_billing.execute(
        "INSERT INTO quota_data (user_id, token_id, username, model_name, created_at, token_used,"
        " count, quota) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        " WHERE i < ?) SELECT 1, ?, 'alice', 'model-' || i, ?, 0, 1, 5 * i FROM n",
        MODELS,
        token["id"],
        TODAY,
    )
    server = gunicorn({**sqlite_billing.env, "DATABASE_TIMEOUT": "20", "WEB_CONCURRENCY": "1"})

    screen = panel(server.url).open().ask(token["key"])

    screen.shows("#days tbody tr:first-child", f"model-{MODELS}")
    assert screen.page.locator("#days tbody tr").count() == 11
    screen.press(f"Show all {MODELS:,}")
    screen.shows("#days tbody tr:last-child", "Other models")
    assert screen.page.locator("#days tbody tr").count() == 301
    screen.shows("#days tfoot", f"${MODELS * (MODELS + 1) / 2 * 5 / 500_000:,.2f}")
    with screen.page.expect_download() as waiting:
        screen.press("Download CSV")
    text = Path(waiting.value.path()).read_text("utf-8")
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == MODELS + 1
