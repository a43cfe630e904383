"""Large figures, long names, large letters, small screens: nothing is cut or broken in a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import PAGE, TODAY, Panel
from tests.panel.test_looks import PHONE
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site

LONG = "accounts/fireworks/deepseek_r1_distill_qwen_32b:preview.2026-11"

#: The lines that the text of a node takes, a letter at a time by where it stands.
LINES = """node => {
    const lines = [];
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    for (let text; (text = walker.nextNode()); ) {
        for (let index = 0; index < text.length; index++) {
            const range = document.createRange();
            range.setStart(text, index);
            range.setEnd(text, index + 1);
            const { top } = range.getBoundingClientRect();
            const last = lines.at(-1);
            if (last && Math.abs(last.top - top) < 4) last.text += text.data[index];
            else lines.push({ top, text: text.data[index] });
        }
    }
    return lines.map(({ text }) => text);
}"""

#: Letters of the chart's axis that are outside of it.
CUT = """() => {
    const box = document.querySelector("#chart").getBoundingClientRect();
    return [...document.querySelectorAll("#chart text")].filter((text) => {
        const { left, right } = text.getBoundingClientRect();
        return left < box.left - 1 || right > box.right + 1;
    }).length;
}"""


@pytest.fixture
def rich(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> Callable[..., Panel]:
    """Shows a key with billions of dollars, or 4e15 tokens, and a model with a long name."""

    def start(unit: str, **options: object) -> Panel:
        sqlite_billing.user("alice")
        key = sqlite_billing.token("alice")["key"]
        half = 2_000_000_000_000_000
        used = ["--model", LONG, "--quota", str(half), "--at", str(TODAY)]
        sqlite_billing.run("usage", "record", "1", *used, "--prompt-tokens", "15000000")
        sqlite_billing.execute(f"UPDATE tokens SET remain_quota = {half}")
        server = gunicorn({**sqlite_billing.env, "DISPLAY_UNIT": unit})
        screen = panel(server.url, **options).open().ask(key)
        expect(screen.page.locator("#chart svg")).to_be_visible()
        screen.shows(".ending", "default")
        return screen

    return start


@pytest.mark.parametrize("unit", ["USD", "TOKENS"])
def test_large_figures_are_whole_on_a_phone(rich: Callable[..., Panel], unit: str) -> None:
    screen = rich(unit, **PHONE, locale="en-US")

    figure = screen.page.locator(".figure")
    whole = {"USD": "$4,000,000,000.00", "TOKENS": "2,000,000,000,000,000"}[unit]
    assert figure.evaluate(LINES) == [figure.inner_text()]
    assert figure.inner_text() == {"USD": whole, "TOKENS": whole}[unit]
    labels = screen.page.locator("#chart text").all_text_contents()
    assert {"USD": "$4B", "TOKENS": "2,000T"}[unit].replace(",", "") in [
        label.replace(",", "") for label in labels
    ]
    assert screen.page.evaluate(CUT) == 0
    screen.save(f"phone-rich-{unit}")
    screen.assert_accessible()
    screen.pick("Tokens")
    screen.shows(".reading strong", "15,000,000")
    assert "15M" in screen.page.locator("#chart text").all_text_contents()
    assert screen.page.evaluate(CUT) == 0


def test_names_break_where_words_end(rich: Callable[..., Panel]) -> None:
    screen = rich("USD", **PHONE)

    lines = screen.page.locator("#days tbody th").first.evaluate(LINES)

    assert "".join(lines) == LONG
    # Wherever it may: the column is as narrow as the longest word wants it.
    assert max(map(len, lines)) < 20
    assert all(line[-1] in "/-._:" for line in lines[:-1])


@pytest.mark.parametrize("width", [320, 360, 768, 1440, 1920])
@pytest.mark.parametrize("size", ["100%", "200%"])
def test_every_width_and_large_letters_are_whole(
    panel: Callable[..., Panel], site: Site, width: int, size: str
) -> None:
    screen = panel(viewport={"width": width, "height": 900})
    screen.open()
    screen.page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
    screen.assert_accessible()

    screen.ask(site.keys["busy"]).shows("#recent", "Today")
    expect(screen.page.locator("#chart svg")).to_be_visible()

    screen.save(f"width-{width}-{size.strip('%')}")
    screen.assert_accessible()
    assert screen.page.evaluate(CUT) == 0
    body, heading = (
        screen.page.locator(each).first.evaluate("node => getComputedStyle(node).fontSize")
        for each in ("body", "h1")
    )
    assert (body, heading) == {"100%": ("16px", "19.2px"), "200%": ("32px", "38.4px")}[size]


def test_the_page_is_printed_without_its_buttons(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel(color_scheme="dark").open().ask(site.keys["busy"])
    expect(screen.page.locator("#chart svg")).to_be_visible()

    screen.page.emulate_media(media="print")

    expect(screen.page.locator("#refresh")).to_be_hidden()
    expect(screen.page.locator("#csv")).to_be_hidden()
    expect(screen.page.locator(".ranges").first).to_be_hidden()
    expect(screen.page.locator(".figure")).to_be_visible()
    expect(screen.page.locator("#days tfoot")).to_be_visible()
    expect(screen.page.locator(".figure")).to_have_css("color", "rgb(22, 32, 31)")
    screen.save("print")


def test_nothing_glides_for_whom_motion_disturbs(panel: Callable[..., Panel], site: Site) -> None:
    names = []
    for motion in ("reduce", "no-preference"):
        screen = panel(reduced_motion=motion).open()
        screen.page.route("**/subscription", lambda route: None)
        screen.ask(site.keys["busy"])
        bar = screen.page.locator(".skeleton > div").first
        names.append(bar.evaluate("node => getComputedStyle(node).animationName"))

    assert names == ["none", "glide"]


@pytest.mark.parametrize("search", ["?range=7d&lang=zh-TW", "?lang=fr&range=8d&key=x"])
def test_an_address_with_anything_in_it_opens(panel: Callable[..., Panel], search: str) -> None:
    screen = panel().open(PAGE + search)

    screen.shows("h1", "餘額與用量" if "zh-TW" in search else "Balance and usage")
