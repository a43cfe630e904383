"""Prints results: no name from a database reaches a terminal or a spreadsheet as a command."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import click

#: What spreadsheets take for the beginning of a formula.
_FORMULA = re.compile(" *[=+\\-@＝＋－＠]")

#: What some spreadsheet splits cells at, whatever the file's own separator is.
_SEPARATOR = re.compile('[",;]')


def printable(text: str) -> str:
    """`text` with ? for each control character, line break, mark of direction or odd blank."""
    return "".join(char if char.isprintable() else "?" for char in text)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """UTF-8 with a BOM and CRLF, as spreadsheets expect."""
    return "\ufeff" + "".join(",".join(map(csv_cell, row)) + "\r\n" for row in rows)


def csv_cell(value: object) -> str:
    """A cell that is no formula and is not split; the panel's `csvCell` has the same rule."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = printable(value)
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _SEPARATOR.search(text) else text


def print_result(value: Mapping[str, Any] | list[dict[str, Any]], as_json: bool) -> None:
    """One thing as a column of names and values, several as a table, either as JSON."""
    if as_json:
        click.echo(_json(value))
    elif isinstance(value, Mapping):
        _print_table([[name, value[name]] for name in value])
    elif value:
        _print_table([list(value[0]), *(list(row.values()) for row in value)])
    else:
        click.echo("none", err=True)


def print_warning(text: str) -> None:
    """A line on standard error."""
    click.echo(printable(text), err=True)


def _json(value: Any) -> str:
    """One line, readable, with escapes for what is not printable."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _print_table(rows: Iterable[Iterable[Any]]) -> None:
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Terminal columns: wide characters take two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)
