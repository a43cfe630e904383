"""The page as it is served: where, under which policy; and the JSON routes do not notice it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.processes import ROOT

PAGES = [
    "/dashboard/billing/",
    "/dashboard/billing",
    "/v1/dashboard/billing/",
    "/v1/dashboard/billing",
    "/v1//dashboard/billing//",
]
#: The scripts with the texts of a language, of which a browser loads its own.
TEXTS = {"chinese.js", "english.js", "traditional.js"}
#: Every file in the static folder: the page must name each other one exactly once.
FILES = sorted(path.name for path in (ROOT / "billing/web/panel/static").iterdir())
#: The files whose text is in the page itself.
INLINE = {"panel.css": "style", "start.js": "script"}
SOURCES = {
    path.name: path
    for folder in ("inline", "static", "templates")
    for path in sorted((ROOT / "billing/web/panel" / folder).iterdir())
}
POLICY = (
    "default-src 'none'; script-src 'self' {script}; style-src {style}; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def get(client: FlaskClient, path: str, **headers: str) -> TestResponse:
    """The answer, its file closed."""
    return client.get(path, headers=headers, buffered=True)


def inline(page: str, tag: str) -> str:
    """The text of the only style or the only inline script of the page."""
    [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return str(text)


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_at_both_prefixes_with_and_without_the_last_slash(
    sqlite_billing: Billing, path: str
) -> None:
    answer = get(sqlite_billing.client(), path)

    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    prefix = "/v1/dashboard/billing" if "v1" in path else "/dashboard/billing"
    named = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
    assert sorted(named) == sorted(
        f"{prefix}/panel/{name}" for name in {*FILES} - TEXTS | {"english.js"}
    )


@pytest.mark.parametrize(
    ("query", "accepted", "language", "title", "texts"),
    [
        ("", "de, zh-CN, en", "zh", "余额与用量", {"chinese.js"}),
        ("", "en-GB, zh", "en", "Balance and usage", {"english.js"}),
        ("", "zh;q=0.5, en", "en", "Balance and usage", {"english.js"}),
        ("", "fr", "en", "Balance and usage", {"english.js"}),
        ("", "zh-Hant-HK", "zh-TW", "餘額與用量", {"chinese.js", "traditional.js"}),
        ("?lang=zh-TW", "en", "zh-TW", "餘額與用量", {"chinese.js", "traditional.js"}),
        ("?lang=zh", "zh-TW", "zh", "余额与用量", {"chinese.js"}),
        ("?lang=en", "zh-TW", "en", "Balance and usage", {"english.js"}),
        ("?lang=fr", "zh-TW", "zh-TW", "餘額與用量", {"chinese.js", "traditional.js"}),
    ],
)
def test_the_page_is_in_the_language_of_its_address_or_its_browser(
    sqlite_billing: Billing, query: str, accepted: str, language: str, title: str, texts: set[str]
) -> None:
    client = sqlite_billing.client()

    answer = get(client, f"{PAGES[0]}{query}", Accept_Language=accepted)
    again = get(
        client,
        f"{PAGES[0]}{query}",
        Accept_Language=accepted,
        If_None_Match=get(client, f"{PAGES[0]}?lang=zh-HK").headers["ETag"],
    )

    assert "Accept-Language" in answer.headers["Vary"]
    assert f'<html lang="{language}"' in answer.text
    assert f"<title>{title}</title>" in answer.text
    assert again.status_code == (304 if language == "zh-TW" else 200)
    assert {name for name in TEXTS if f"/{name}" in answer.text} == texts


@pytest.mark.parametrize("path", ["", *(f"panel/{name}" for name in FILES)])
def test_everything_of_the_page_comes_under_its_policy_and_is_asked_about_again(
    sqlite_billing: Billing, path: str
) -> None:
    client = sqlite_billing.client()

    answer = get(client, f"/dashboard/billing/{path}")
    again = get(client, f"/dashboard/billing/{path}", If_None_Match=answer.headers["ETag"])

    assert answer.status_code == 200
    page = get(client, PAGES[0]).text
    assert answer.headers["Content-Security-Policy"] == POLICY.format(
        **{tag: hashed(inline(page, tag)) for tag in INLINE.values()}
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Set-Cookie" not in answer.headers
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Content-Security-Policy"] == answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", {"english.js"}),
        ("zh", {"chinese.js"}),
        ("zh-TW", {"chinese.js", "traditional.js"}),
    ],
)
def test_what_a_browser_loads_weighs_less_than_eighty_kibibytes(
    sqlite_billing: Billing, language: str, texts: set[str]
) -> None:
    client = sqlite_billing.client()
    paths = ["", *(f"panel/{name}" for name in {*FILES} - TEXTS | texts)]

    answers = [get(client, f"{PAGES[2]}{path}", Accept_Language=language) for path in paths]

    assert all(answer.status_code == 200 for answer in answers)
    assert sum(len(answer.data) for answer in answers) < 80 * 1024


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith((".js", ".css"))])
def test_scripts_and_styles_are_sent_without_comments(sqlite_billing: Billing, name: str) -> None:
    source = SOURCES[name].read_text("utf-8")

    path = PAGES[0] if name in INLINE else f"/dashboard/billing/panel/{name}"
    answer = get(sqlite_billing.client(), path)
    sent = inline(answer.text, INLINE[name]) if name in INLINE else answer.text

    comments = ("//", "/*", "*/", "* ")
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if not line.startswith(comments) or line.startswith("* {")]
    if name.endswith(".css"):
        # Nothing but blanks and last semicolons is missing, and no two words have become one.
        words = [
            re.findall(r"[\w-]+|\S", re.sub(r";(?=\s*\})", "", text))
            for text in (sent, "\n".join(lines))
        ]
        assert words[0] == words[1]
        assert "; }" not in sent
    else:
        assert sent.splitlines() == list(filter(None, lines))


#: The colours of texts, and what they stand on.
TEXTS_ON = {
    **dict.fromkeys(("text", "muted", "accent"), ("card", "ground", "track")),
    **{name: ("card", f"{name}-ground") for name in ("good", "warn", "bad")},
    "on-accent": ("accent",),
}


def grey(colour: str) -> float:
    """The relative luminance of a colour after CSS's grayscale(1), which weighs sRGB itself."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    value = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_keep_their_contrast_without_colours(scheme: str) -> None:
    light, dark = re.findall(
        r":root \{(.*?)\}", SOURCES["panel.css"].read_text("utf-8"), re.DOTALL
    )[:2]
    found = re.findall(r"--([\w-]+): #(\w{6});", light + (dark if scheme == "dark" else ""))
    colours = {name: grey(colour) for name, colour in found}

    for name, grounds in TEXTS_ON.items():
        for ground in grounds:
            low, high = sorted((colours[name], colours[ground]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


@pytest.mark.parametrize("name", SOURCES)
def test_no_file_of_the_page_names_another_place_or_makes_markup_of_text(name: str) -> None:
    text = SOURCES[name].read_text("utf-8")

    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|console", text)


@pytest.mark.parametrize("path", ["panel/", "panel/nothing.js", "panel/../page.py", "panel.js"])
def test_what_is_no_file_of_the_page_is_not_found(sqlite_billing: Billing, path: str) -> None:
    answer = get(sqlite_billing.client(), f"/dashboard/billing/{path}", Accept_Language="en")

    assert answer.status_code == 404
    assert answer.json == {
        "error": {"message": "no such path", "type": "invalid_request_error", "code": "not_found"}
    }


@pytest.mark.parametrize("path", [*PAGES, "/dashboard/billing/panel/panel.js"])
def test_the_page_can_be_turned_off(sqlite_billing: Billing, path: str) -> None:
    answer = get(sqlite_billing.client(PANEL="false"), path)

    assert answer.status_code == 404


def test_the_json_routes_do_not_change_by_one_byte(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    key = sqlite_billing.token("alice", "--quota", "500000")["key"]
    with_page, without = sqlite_billing.client(), sqlite_billing.client(PANEL="false")
    days = "start_date=2026-01-01&end_date=2026-01-03"
    routes = ["subscription", "usage", f"usage?include=daily_costs&{days}", "credit_grants", "no"]
    paths = [f"{prefix}/dashboard/billing/{route}" for prefix in ("", "/v1") for route in routes]
    paths += ["/v1/organization/costs?start_time=1793491200", "/healthz", "/readyz", "/", "/v1"]
    callers = [{}, bearer(key), bearer("sk-unknown"), bearer(key, 77)]

    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            for caller in callers:
                headers = {**caller, "X-Request-Id": "same"}
                one = with_page.open(path, method=method, headers=headers)
                other = without.open(path, method=method, headers=headers)
                assert (one.status, one.data) == (other.status, other.data)
                assert list(one.headers) == list(other.headers)


@pytest.mark.parametrize(
    ("env", "money"),
    [
        ({}, ' data-unit="USD" data-symbol="$"'),
        ({"DISPLAY_UNIT": "CNY"}, ' data-unit="CNY" data-symbol="¥"'),
        ({"DISPLAY_UNIT": "TOKENS"}, ' data-unit="TOKENS" data-symbol=""'),
        ({"DISPLAY_UNIT": "CUSTOM"}, ' data-unit="CUSTOM" data-symbol="¤"'),
        (
            {"DISPLAY_UNIT": "CUSTOM", "CUSTOM_CURRENCY_SYMBOL": '"><b'},
            ' data-unit="CUSTOM" data-symbol="&#34;&gt;&lt;b"',
        ),
    ],
)
def test_the_page_names_the_sites_unit(
    sqlite_billing: Billing, env: dict[str, str], money: str
) -> None:
    answer = get(sqlite_billing.client(**env), "/dashboard/billing/")

    assert f'<html lang="en"{money}>' in answer.text


def test_the_page_comes_up_without_its_unit_while_the_database_is_away(tmp_path: Path) -> None:
    held = Billing(f"sqlite:///{tmp_path / 'nothing.db'}", BILLING_MODE="attached")

    answer = get(held.client(), "/dashboard/billing/")

    held.close()
    assert answer.status_code == 200
    assert "data-unit" not in answer.text
