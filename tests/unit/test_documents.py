"""The documents say what is there: variables, commands, answers, metrics, packages, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import click
import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from billing import create_app
from billing.web import metrics
from config import Settings, variables
from tests.support.application import Billing
from tests.support.processes import ROOT

READMES = ("README.md", "README.zh-CN.md")

#: Every document, as a path from the root of the repository.
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def text_of(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def tables(document: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Each table of a document: its header and its rows."""
    for table in re.findall(r"^\|.*\n\|[-:| ]+\|\n(?:\|.*\n?)*", text_of(document), re.M):
        header, _, *rows = table.splitlines()
        yield cells(header), [cells(row) for row in rows]


# Variables


def test_the_tables_of_variables_are_what_config_reads() -> None:
    listed = [
        row
        for header, rows in tables("docs/configuration.md")
        if header == ["variable", "default", "accepts", "meaning"]
        for row in rows
    ]

    assert sorted(listed) == sorted(
        [
            f"`{field.name.upper()}`",
            f"`{field.metadata['default']}`",
            field.metadata["accepts"],
            field.metadata["doc"],
        ]
        for field in variables()
    )


# Commands


def leaves(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    """The commands of a group, by the words that call them."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= leaves(command, *path, name)
        else:
            found[*path, name] = command
    return found


COMMANDS = leaves(create_app(Settings.from_env({})).cli)


def listed_commands() -> list[tuple[tuple[str, ...], str]]:
    """The commands in the fenced blocks of docs/commands.md: the words, the rest of the line."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text_of("docs/commands.md"), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("flask ")]
    split = [re.fullmatch(r"flask((?: [a-z][a-z-]*)+)\b(.*)", line) for line in lines]
    assert all(split), lines
    return [(tuple(match[1].split()), match[2]) for match in split if match]


def test_the_list_of_commands_is_what_flask_runs() -> None:
    assert sorted({words for words, _ in listed_commands()}) == sorted(COMMANDS)


def test_the_options_that_the_list_names_exist() -> None:
    unknown = {
        (*words, option)
        for words, rest in listed_commands()
        for option in re.findall(r"--[a-z-]+", rest.partition("#")[0])
        if not any(option in parameter.opts for parameter in COMMANDS[words].params)
    }

    assert unknown == set()


# Answers


def examples(document: str) -> list[tuple[str, str]]:
    """Each curl with the answer under it, whose wrapped lines are joined."""
    found = re.findall(r"^ *\$ (curl .*)\n((?: *[{\"].*\n)+)", text_of(document), re.M)
    return [(command, "".join(map(str.strip, answer.splitlines()))) for command, answer in found]


@pytest.mark.parametrize(
    ("document", "least"), [("README.md", 2), ("README.zh-CN.md", 2), ("docs/api.md", 8)]
)
def test_every_answer_that_is_shown_is_the_real_one(
    document: str, least: int, sqlite_billing: Billing
) -> None:
    user = sqlite_billing.json("user", "add", "first", "--usd", "100")
    key = sqlite_billing.token("first", "--usd", "100")["key"]
    for model, usd in (("gpt-4o", "15"), ("o4-mini", "10")):
        used = ["--model", model, "--usd", usd, "--at", "2026-11-01T12:00"]
        sqlite_billing.run("usage", "record", "1", *used)
    client = sqlite_billing.client()

    real = []
    for command, _ in examples(document):
        filled = command.replace("$KEY", key).replace("$ACCESS_TOKEN", user["access_token"])
        words = shlex.split(filled)
        headers = [words[n + 1].split(": ") for n, word in enumerate(words) if word == "-H"]
        path = words[-1].removeprefix("http://127.0.0.1:8000")
        real.append((command, client.get(path, headers=headers).text.strip()))

    assert text_of(document).count("$ curl ") == len(real) >= least
    assert examples(document) == real


def test_every_answer_that_is_shown_is_in_a_document_that_is_tested() -> None:
    showing = {document for document in DOCUMENTS if "$ curl " in text_of(document)}

    assert showing == {*READMES, "docs/api.md"}


# Metrics, packages, nginx


def test_the_table_of_metrics_is_what_is_counted() -> None:
    (rows,) = (
        rows
        for header, rows in tables("docs/operations.md")
        if header == ["metric", "what it counts"]
    )
    counted = [
        [f"`{name}`", metric._documentation]
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
        for name in [metric._name + ("_total" if isinstance(metric, Counter) else "")]
    ]

    assert sorted(rows) == sorted(counted)


@pytest.mark.parametrize(
    ("document", "heading"), [("README.md", "package"), ("README.zh-CN.md", "依赖包")]
)
def test_the_table_of_packages_is_what_the_requirements_name(document: str, heading: str) -> None:
    (rows,) = (rows for header, rows in tables(document) if header[0] == heading)
    required = [
        name
        for file in ("requirements.in", "requirements-dev.in")
        for name in re.findall(r"^[A-Za-z][\w-]*", text_of(file), re.M)
    ]

    assert sorted(name for names, _ in rows for name in names.split(", ")) == sorted(required)


@pytest.mark.parametrize("document", [*READMES, "docs/attach.md"])
def test_the_paths_to_pass_on_are_those_of_the_nginx_sample(document: str) -> None:
    (location,) = re.findall(r"location ~ (\S+) {", text_of(document))

    assert f"location ~ {location} {{" in text_of("deploy/nginx.conf")
    assert f"path_regexp {location}\n" in text_of("deploy/Caddyfile")
    assert text_of("docs/attach.md").count(f"path_regexp {location}\n") == 1


# Form


@pytest.mark.parametrize("document", READMES)
def test_a_readme_is_one_page_and_names_the_other(document: str) -> None:
    lines = text_of(document).splitlines()
    (other,) = set(READMES) - {document}

    assert len(lines) <= 150
    assert f"({other})" in "\n".join(lines[:5])


def test_the_readmes_have_the_same_tables() -> None:
    english, chinese = ([len(rows) for _, rows in tables(document)] for document in READMES)

    assert english == chinese


@pytest.mark.parametrize("document", sorted({*DOCUMENTS} - {*READMES}))
def test_a_page_opens_with_whom_it_is_for(document: str) -> None:
    title, blank, opening, *_ = text_of(document).splitlines()

    assert title.startswith("# ")
    assert blank == ""
    assert opening.startswith("For ")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_fit_a_screen(document: str) -> None:
    """Tables, code and links to elsewhere aside."""
    prose = re.sub(r"^(```.*?^```|    .*?$)", "", text_of(document), flags=re.M | re.S)
    long = [
        line
        for line in prose.splitlines()
        if len(line) > 120 and not line.startswith("|") and "://" not in line
    ]

    assert long == []


# Links


def prose_of(document: str) -> str:
    """A document without its code, in which brackets are no links and # no headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", text_of(document), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[^\w \n-]", "", code[0]), text)


def numbered(slug: str) -> Iterator[str]:
    """What GitHub calls further headings of the same text."""
    return (f"{slug}-{number}" for number in count(1))


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", prose_of(document), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w -]", "", plain).replace(" ", "-")
        found.add(next(name for name in chain([slug], numbered(slug)) if name not in found))
    return found


def links(document: str) -> list[str]:
    """The targets of a document's links and pictures, those to elsewhere left out."""
    prose = prose_of(document)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def dangles(target: str, document: str = "README.md") -> bool:
    """Whether a target, relative to the folder of `document`, names no file or no heading."""
    path, _, anchor = target.partition("#")
    file = ((ROOT / document).parent / path if path else ROOT / document).resolve()
    if not file.exists() or not file.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(str(file.relative_to(ROOT)))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    assert [target for target in links(document) if dangles(target, document)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    for readme in READMES:
        pages = {page for page in DOCUMENTS if page.startswith("docs/")}
        assert pages - set(links(readme)) == set()


def citing_files() -> list[Path]:
    """Code, samples and settings: what may cite a document in a comment."""
    kinds = ("*.py", "*.js", "*.in", "*.toml", "*.sql", "Makefile", "Procfile", "Dockerfile")
    found = {path for kind in kinds for path in ROOT.rglob(kind)} | set(ROOT.glob("deploy/**/*"))
    return sorted(
        path
        for path in found
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def test_every_document_that_the_code_cites_exists() -> None:
    dangling = [
        f"{path.relative_to(ROOT)}: {cited}"
        for path in citing_files()
        for cited in re.findall(
            r"\b(?:docs/[\w./-]+|[A-Z][A-Z]+(?:\.zh-CN)?)\.md(?:#[\w-]+)?", path.read_text("utf-8")
        )
        if dangles(cited)
    ]

    assert dangling == []


def test_every_section_that_the_code_cites_exists() -> None:
    dangling = [
        f"{path.relative_to(ROOT)}: {document} section {number}"
        for path in citing_files()
        for document, numbers in re.findall(
            r"(docs/[\w-]+\.md) sections? ((?:[0-9]+(?:, | and )?)+)", path.read_text("utf-8")
        )
        for number in re.findall("[0-9]+", numbers)
        if not re.search(rf"^## {number}\. ", text_of(document), re.M)
    ]

    assert dangling == []
