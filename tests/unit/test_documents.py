"""What the README lists is what there is: every variable, every command."""

from __future__ import annotations

import re
import shlex

import click
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from billing import create_app
from billing.web import metrics
from config import Settings, variables
from tests.conftest import Billing
from tests.support.servers import ROOT


def section(heading: str) -> list[str]:
    """The README's lines under that heading, up to the next of its level."""
    _, _, after = (ROOT / "README.md").read_text("utf-8").partition(f"\n## {heading}\n")
    assert after, f"README.md has no section {heading!r}"
    return after.partition("\n## ")[0].splitlines()


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def test_the_table_of_variables_is_what_config_reads() -> None:
    header, rule, *rows = [line for line in section("Every variable") if line.startswith("|")]

    assert cells(header) == ["variable", "default", "accepts", "meaning"]
    assert set(rule) <= set("|-: ")
    assert [cells(row) for row in rows] == [
        [
            f"`{field.name.upper()}`",
            f"`{field.metadata['default']}`",
            field.metadata["accepts"],
            field.metadata["doc"],
        ]
        for field in variables()
    ]


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


def listed() -> list[tuple[tuple[str, ...], str]]:
    """The commands in the fenced blocks under `Operate it`: the words, the rest of the line."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", "\n".join(section("Operate it")), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("flask ")]
    split = [re.fullmatch(r"flask((?: [a-z][a-z-]*)+)\b(.*)", line) for line in lines]
    assert all(split), lines
    return [(tuple(match[1].split()), match[2]) for match in split if match]


def test_the_list_of_commands_is_what_flask_runs() -> None:
    assert sorted({words for words, _ in listed()}) == sorted(COMMANDS)


def test_the_options_that_the_list_names_exist() -> None:
    unknown = {
        (*words, option)
        for words, rest in listed()
        for option in re.findall(r"--[a-z-]+", rest.partition("#")[0])
        if not any(option in parameter.opts for parameter in COMMANDS[words].params)
    }

    assert unknown == set()


def examples() -> list[tuple[str, str]]:
    """Each curl of the README with the answer that it shows."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^ +\$ (curl .*)\n +(\{.*\})$", text, re.M)


def test_every_answer_that_is_shown_is_the_real_one(sqlite_billing: Billing) -> None:
    user = sqlite_billing.json("user", "add", "first", "--usd", "100")
    key = sqlite_billing.token("first", "--usd", "100")["key"]
    for model, usd in (("gpt-4o", "15"), ("o4-mini", "10")):
        used = ["--model", model, "--usd", usd, "--at", "2026-11-01T12:00"]
        sqlite_billing.run("usage", "record", "1", *used)
    client = sqlite_billing.client()

    real = []
    for command, _ in examples():
        filled = command.replace("$KEY", key).replace("$ACCESS_TOKEN", user["access_token"])
        words = shlex.split(filled)
        headers = [words[n + 1].split(": ") for n, word in enumerate(words) if word == "-H"]
        path = words[-1].removeprefix("http://127.0.0.1:8000")
        real.append((command, client.get(path, headers=headers).text.strip()))

    assert len(real) >= 8
    assert examples() == real


def test_the_list_of_metrics_is_what_is_counted() -> None:
    rows = [cells(line) for line in section("Operate it") if line.startswith("| `billing_")]
    described = {
        (f"`{name}`", metric._documentation)
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
        for name in [metric._name + ("_total" if isinstance(metric, Counter) else "")]
    }

    assert {tuple(row) for row in rows} == described
    assert len(rows) == len(described)
