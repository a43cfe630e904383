"""What every command shares: its database, its output, its errors, its kinds of values."""

from __future__ import annotations

import functools
import json
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import click
import peewee
from flask.cli import with_appcontext

from billing.core.service import service
from billing.database import schema as tables
from billing.database.connection import Handle, driver_errors, fault
from billing.database.dialects import Access
from billing.errors import CommandError
from billing.parsing import instant, plain_text, quota_of_usd
from billing.quota import MAX_QUOTA, MAX_TOKENS


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
            raise  # nobody reads on: click ends quietly
        except OSError as error:
            raise click.ClickException(f"cannot read or write: {error}") from error

    return run


@contextmanager
def opened(access: Access = "write") -> Iterator[peewee.Database]:
    """The settings' database, the models bound to it; its tables are checked but to create.

    Raises CommandError for what the database raises, and in attached mode.
    """
    if service().attached:
        raise CommandError(
            "attached: the database is the gateway's, and this service only reads it"
        )
    settings = service().settings
    url = settings.database_url
    handle = Handle(url, settings.database_timeout, access)
    try:
        with handle.database.bind_ctx(tables.MODELS):
            handle.database.connect()
            if access != "create":
                tables.check(handle.database)
            yield handle.database
    except driver_errors() as error:
        if access == "create" and url.dialect == "sqlite" and not url.path.exists():
            raise CommandError(f"cannot make {url.path}: no such folder, or no right to") from error
        raise CommandError(f"the database failed: {fault(error, url)}") from error
    finally:
        handle.close()


def show(value: Mapping[str, Any] | list[dict[str, Any]], as_json: bool) -> None:
    """One thing as a column of names and values, several as a table, either as JSON."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, Mapping):
        _print([[name, value[name]] for name in value])
    elif value:
        _print([list(value[0]), *(list(row.values()) for row in value)])
    else:
        click.echo("none", err=True)


def _print(rows: Iterable[Iterable[Any]]) -> None:
    cells = [["" if cell is None else _visible(str(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _visible(text: str) -> str:
    """Without what steers a terminal: a gateway's model names may hold anything."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _width(text: str) -> int:
    """Terminal columns: wide characters take two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


class Whole(click.ParamType[Any]):
    """A whole number within bounds; ids and amounts of any length are refused in one short line."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        short = re.fullmatch("[0-9]{1,19}", str(value), re.ASCII)
        if not short or not self.low <= int(value) <= self.high:
            self.fail(f"not a whole number from {self.low} to {self.high}", param, ctx)
        return int(value)


class Instant(click.ParamType[Any]):
    """A DATE (00:00 UTC), an ISO 8601 time, unix seconds, or `+30d` from now."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            if match := re.fullmatch(r"\+([0-9]{1,6})([dhm])", value, re.ASCII):
                unit = {"d": 86400, "h": 3600, "m": 60}[match[2]]
                return instant(str(int(time.time()) + int(match[1]) * unit))
            return instant(value)
        except ValueError as error:
            self.fail(f"{error}, nor like +30d", param, ctx)


class Expiry(Instant):
    """An Instant, or `never`, stored as -1."""

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return -1 if value == "never" else super().convert(value, param, ctx)


class Network(click.ParamType[Any]):
    """An address or network, IPv4 or IPv6."""

    name = "cidr"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            # Not fe80::1%eth0: a zone takes any text, and means nothing elsewhere.
            ip_network(value.replace("%", " "), strict=False)
        except ValueError:
            self.fail("takes an address or a network like 10.0.0.0/8", param, ctx)
        return str(value)


class Text(click.ParamType[Any]):
    """Printable text that no collation trims, of at most so many characters."""

    name = "text"

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return plain_text(value, self.longest)
        except ValueError as error:
            self.fail(str(error), param, ctx)


#: What every command takes for a name, an id, an amount of quota.
NAME = Text(64)
ID = Whole(1, 2**63 - 1)
AMOUNT = Whole(0, MAX_QUOTA)
TOKENS = Whole(0, MAX_TOKENS)


def amount_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--usd` and `--quota`, which `amount` reads."""
    for option in (
        click.option("--quota", type=AMOUNT, help="In quota units."),
        click.option("--usd", help="In US dollars, rounded to the nearest quota unit."),
    ):
        function = option(function)
    return function


def amount(usd: str | None, quota: int | None, required: bool = True) -> int:
    """The quota that the options name; 0 for neither, where that is allowed."""
    if quota is not None and usd is None:
        return quota
    if usd is None or quota is not None:
        if not required and quota is None:
            return 0
        raise click.UsageError("give one of --usd and --quota")
    try:
        return quota_of_usd(usd, service().settings.quota_per_unit)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--usd") from error
