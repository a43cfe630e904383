"""What commands print of names that a gateway's users chose."""

from __future__ import annotations

import json

import pytest

from billing.cli.output import csv_cell
from tests.support.gateways import Gateway
from tests.support.hostile_names import CSV_CELLS

DAY = ["--from", "2026-11-01", "--to", "2026-11-02"]
START = 1793491200


@pytest.fixture
def hostile(newapi: Gateway) -> Gateway:
    """Each hostile name is a model that user1 used."""
    newapi.user(id=1, username="user1")
    newapi.token(1, id=1)
    for number, name in enumerate(CSV_CELLS, 1):
        row = {"id": number, "user_id": 1, "token_id": 1, "type": 2, "created_at": START}
        newapi.insert("logs", **row, model_name=name, quota=number)
    return newapi


def show(gateway: Gateway, *options: str) -> str:
    arguments = ["usage", "show", "user1", "--by", "model", *DAY, *options]
    result = gateway.app().test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode()


def is_safe(printed: str) -> bool:
    """Whether a terminal shows all of it and obeys nothing."""
    return all(line.isprintable() for line in printed.removeprefix("\ufeff").splitlines())


def test_a_cell_is_no_formula_and_no_control_sequence() -> None:
    assert {name: csv_cell(name) for name in CSV_CELLS} == CSV_CELLS


def test_a_table_obeys_no_name(hostile: Gateway) -> None:
    printed = show(hostile)

    assert is_safe(printed)
    assert "?[31mred?" in printed
    assert len(printed.splitlines()) == len(CSV_CELLS) + 2


def test_csv_obeys_no_name(hostile: Gateway) -> None:
    printed = show(hostile, "--csv")

    assert is_safe(printed)
    cells = [line.rsplit(",", 5)[0] for line in printed.splitlines()[1:]]
    assert sorted(cells) == sorted(CSV_CELLS.values())


def test_json_escapes_what_is_not_printable_and_keeps_the_rest(hostile: Gateway) -> None:
    printed = show(hostile, "--json")

    assert is_safe(printed)
    assert "文心" in printed
    assert {row["model"] for row in json.loads(printed)} == set(CSV_CELLS)


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_an_error_obeys_no_text_of_the_database(newapi: Gateway) -> None:
    """A broken view's error quotes its definition, escape sequence included."""
    newapi.execute('DROP TABLE "tokens"')
    newapi.execute('CREATE VIEW "tokens" AS SELECT * FROM "users" JOIN "\x1b[31m"')

    result = newapi.app().test_cli_runner().invoke(args=["check"])

    assert result.exit_code == 2
    assert is_safe(result.stderr)
