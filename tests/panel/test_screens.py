"""Screenshots of twelve states, for people: three widths, light and dark, English and Chinese."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.panel.conftest import DAY, TODAY, USED, Panel
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn

#: The states, and whose key is shown in them.
STATES = {
    "form": None,
    "refused": "unknown",
    "loading": "busy",
    "active": "busy",
    "tokens-shown": "busy",
    "low": "low",
    "expired": "expired",
    "unlimited": "unlimited",
    "unused": "unused",
    "stale": "busy",
    "filling": "busy",
    "account": "account",
}

#: Each state in three of them: every width, both schemes and all languages with it.
LOOKS: list[dict[str, Any]] = [
    {"width": 360, "color_scheme": "dark", "locale": "zh-CN"},
    {"width": 768, "color_scheme": "light", "locale": "zh-TW"},
    {"width": 1440, "color_scheme": "light", "locale": "en-GB"},
    {"width": 360, "color_scheme": "light", "locale": "en-GB"},
    {"width": 768, "color_scheme": "dark", "locale": "en-GB"},
    {"width": 1440, "color_scheme": "dark", "locale": "zh-CN"},
]


class Callers:
    """A service whose only user has keys in every state."""

    def __init__(self, url: str, keys: dict[str, tuple[str, object]]) -> None:
        self.url, self.keys = url, keys


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder: Path = tmp_path_factory.mktemp("screens")
    billing = Billing(f"sqlite:///{folder / 'billing.db'}")
    billing.run("init")
    user = billing.user("alice", 250_000_000)
    options = {
        "busy": ["--usd", "100"],
        "low": ["--usd", "10"],
        "expired": ["--usd", "20", "--expires", "2026-06-01"],
        "unlimited": ["--unlimited"],
        "unused": ["--usd", "5", "--expires", "+5d"],
    }
    tokens = {name: billing.token("alice", "--name", name, *more) for name, more in options.items()}
    for name, parts in (("busy", 1), ("low", 4), ("unlimited", 2)):
        lines = [
            {
                "token_id": tokens[name]["id"],
                "model": model,
                "quota": quota // parts,
                "prompt_tokens": quota // parts * 3,
                "completion_tokens": quota // parts // 7,
                "at": TODAY - ago * DAY,
            }
            for ago, model, quota in USED
        ]
        import_lines(billing, lines)
    billing.execute("UPDATE tokens SET remain_quota = 48000 WHERE name = 'low'")
    billing.close()
    server = Gunicorn({**billing.env, "WEB_CONCURRENCY": "2"}, folder)
    keys: dict[str, tuple[str, object]] = {name: (each["key"], "") for name, each in tokens.items()}
    keys["unknown"] = ("sk-unknown", "")
    keys["account"] = (user["access_token"], user["id"])
    yield Callers(server.url, keys)
    server.close()


def import_lines(billing: Billing, lines: list[dict[str, Any]]) -> None:
    billing.run("usage", "import", "-", input="\n".join(map(json.dumps, lines)))


def hold(route: Route) -> None:
    """Never answers: the browser goes on waiting."""


def fill_slowly(route: Route) -> None:
    error = {"message": "…", "type": "new_api_error", "code": "usage_incomplete"}
    body = json.dumps({"error": error, "progress": 0.4})
    route.fulfill(status=503, headers={"Retry-After": "600"}, body=body)


def enter(screen: Panel, state: str, callers: Callers) -> None:
    """Take the page into the state, and wait until all of it is there."""
    screen.open().page.wait_for_selector("#key")
    owner = STATES[state]
    if owner is None:
        return
    if state == "loading":
        screen.page.route("**/subscription", hold)
    if state == "filling":
        screen.page.route("**/usage?include=daily_costs*", fill_slowly)
    screen.ask(*callers.keys[owner])
    if state == "loading":
        expect(screen.page.locator(".skeleton")).to_be_visible()
    elif state == "refused":
        expect(screen.page.locator("#message h2")).to_be_visible()
    else:
        screen.page.wait_for_selector("#days:not([aria-busy])")
        expect(screen.page.locator(".ending")).to_have_text(re.compile("busy|alice|low|un|expired"))
        if state != "filling":
            expect(screen.page.locator("#recent")).to_be_visible()
    if state == "stale":
        screen.page.route("**/subscription", lambda route: route.fulfill(status=503))
        screen.page.click("#refresh")
        expect(screen.page.locator("#read[role=alert]")).to_be_visible()
    if state == "tokens-shown":
        screen.page.check("#metric-tokens")
        screen.page.check("#range-90d")
        expect(screen.page.locator(".day")).to_have_count(90)


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_sound_at_every_width(
    panel: Callable[..., Panel], callers: Callers, state: str
) -> None:
    first = list(STATES).index(state) % 2 * 3
    for look in LOOKS[first : first + 3]:
        width, more = look["width"], {k: v for k, v in look.items() if k != "width"}
        screen = panel(callers.url, viewport={"width": width, "height": 900}, **more)
        enter(screen, state, callers)

        screen.save(f"{state}-{width}-{look['color_scheme']}-{look['locale']}")
        screen.assert_accessible()
