"""The texts in English and both kinds of Chinese: the same keys, with the same values in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.panel.conftest import Panel
from tests.support.site import Site

#: Every text by its path, such as "errors.empty.0". A function is called with numbered marks in
#: place of its arguments, and with an empty string for the last: such texts may have two forms.
#: The form's own stand in the page.
FLATTEN = """async () => {
    const modules = { en: "english", zh: "chinese", "zh-TW": "traditional" };
    const form = (language) => [...document.querySelectorAll(`span[lang=${language}]`)].map(
        (span, index) => [`.form.${index}`, span.textContent]
    );
    const flatten = (value, path) => {
        if (typeof value === "string") return [[path, value]];
        if (typeof value !== "function") {
            return Object.entries(value).flatMap(([key, each]) => flatten(each, `${path}.${key}`));
        }
        const marks = Array.from({ length: value.length }, (_, index) => `{${index}}`);
        return [
            [`${path}(${marks})`, value(...marks)],
            [`${path}(${marks.with(-1, "")})`, value(...marks.with(-1, ""))],
        ];
    };
    return Promise.all(Object.entries(modules).map(async ([language, module]) => {
        const { texts } = await import(`./panel/${module}.js`);
        return [language, Object.fromEntries([...form(language), ...flatten(texts, "")])];
    }));
}"""

MARKS = ("{0}", "{1}")

Texts = dict[str, dict[str, str]]


@pytest.fixture
def texts(panel: Callable[..., Panel], site: Site) -> Texts:
    """Every text by its language and path."""
    pairs: list[tuple[str, dict[str, str]]] = panel().open().page.evaluate(FLATTEN)
    return dict(pairs)


def marks(texts: dict[str, str]) -> dict[str, list[str]]:
    """The paths, and which arguments stand in their texts."""
    return {path: [mark for mark in MARKS if mark in text] for path, text in texts.items()}


def test_all_languages_have_the_same_texts_with_the_same_arguments(texts: Texts) -> None:
    assert set(texts) == {"en", "zh", "zh-TW"}
    assert len(texts["en"]) > 80
    assert marks(texts["en"]) == marks(texts["zh"]) == marks(texts["zh-TW"])


def test_traditional_texts_have_no_simplified_character(texts: Texts) -> None:
    """All are in the first half of Big5, which has what is written often in Taiwan.

    These few of them are simplified ones of other words.
    """
    text = "".join(texts["zh-TW"].values())
    characters = {character for character in text if ord(character) > 0x2FFF}

    assert {each for each in characters if each.encode("big5", "ignore")[:1] > b"\xc6"} == set()
    assert all(each.encode("big5") for each in characters)
    assert not set("余后范据里台几于划占") & characters
    assert "".join(texts["zh"].values()) != text


def test_what_is_put_into_a_traditional_text_is_left_as_it_is(
    panel: Callable[..., Panel], site: Site
) -> None:
    name = "余额 {0} $& "
    script = """async (name) => {
        const { texts } = await import("./panel/traditional.js");
        return texts.onlyToken(name);
    }"""

    assert name in panel().open().page.evaluate(script, name)


def test_no_text_is_empty_or_lacks_an_argument(texts: Texts) -> None:
    for each in texts.values():
        for path, text in each.items():
            assert text.strip()
            assert "undefined" not in text
            assert [mark for mark in MARKS if mark in path] == [m for m in MARKS if m in text]


#: The languages of each element with a text of its own, which the buttons for languages are not.
LANGUAGES = """() => {
    const walker = document.createTreeWalker(document.querySelector("#page"), NodeFilter.SHOW_TEXT);
    const found = new Map();
    for (let text; (text = walker.nextNode()); ) {
        const span = text.parentElement;
        if (!text.data.trim() || span.closest("#languages, noscript")) continue;
        found.set(span.parentElement, [...(found.get(span.parentElement) ?? []), span.lang]);
    }
    return [...found.values()];
}"""


def test_every_text_of_the_form_is_there_in_each_language(
    panel: Callable[..., Panel], site: Site
) -> None:
    found = panel().open().page.evaluate(LANGUAGES)

    assert len(found) == 9
    assert all(languages == ["en", "zh", "zh-TW"] for languages in found)
