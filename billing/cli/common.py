"""What every command shares: its database, its output, its errors."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from flask.cli import with_appcontext

from billing.core.service import current_service
from billing.database import schema
from billing.database.connection import Database
from billing.database.dialects.base import Access, Dialect
from billing.database.faults import translated_errors
from billing.errors import CommandError, DatabaseError


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with `--json`, in the app's context; its failures are one line and status 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
    @with_appcontext
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CommandError as error:
            raise click.ClickException(str(error)) from error
        except UnicodeEncodeError as error:
            raise click.ClickException("an argument is not UTF-8") from error
        except BrokenPipeError:
            raise  # standard output was closed: click ends quietly
        except OSError as error:
            raise click.ClickException(f"cannot read or write: {error}") from error

    return run


@contextmanager
def open_database(access: Access = "write") -> Iterator[Dialect]:
    """The settings' database, the models bound to it; its tables are checked but to create.

    Raises CommandError for what the database raises, and in attached mode.
    """
    service = current_service()
    if service.attached:
        raise CommandError(
            "attached: the database is the gateway's, and this service only reads it"
        )
    settings = service.settings
    url = settings.database_url
    database = Database(url, settings.database_timeout, access)
    try:
        with translated_errors(database.peewee), database.peewee.bind_ctx(schema.MODELS):
            database.peewee.connect()
            if access != "create":
                schema.check_version(database.peewee)
                database.peewee.enable_wal()
            try:
                yield database.peewee
            finally:
                database.peewee.empty_wal()
    except DatabaseError as error:
        if access == "create" and url.dialect == "sqlite" and not url.path.exists():
            raise CommandError(f"cannot make {url.path}: no such folder, or no right to") from error
        raise CommandError(f"the database failed: {error}") from error
    finally:
        database.close()


def print_result(value: Mapping[str, Any] | list[dict[str, Any]], as_json: bool) -> None:
    """One thing as a column of names and values, several as a table, either as JSON."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, Mapping):
        _print_table([[name, value[name]] for name in value])
    elif value:
        _print_table([list(value[0]), *(list(row.values()) for row in value)])
    else:
        click.echo("none", err=True)


def _print_table(rows: Iterable[Iterable[Any]]) -> None:
    cells = [["" if cell is None else _printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _printable(text: str) -> str:
    """Without control characters, which a gateway's model names may hold."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _width(text: str) -> int:
    """Terminal columns: wide characters take two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)
