"""`flask usage …`: record what was used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import click
import peewee
from marshmallow import ValidationError

from billing.cli.common import (
    ID,
    NAME,
    TOKENS,
    Instant,
    amount,
    amount_options,
    command,
    opened,
    show,
)
from billing.core import recording
from billing.core.recording import Outcome, Usage
from billing.core.service import service
from billing.database.connection import driver_errors, fault
from billing.errors import CommandError
from billing.parsing import quota_of_usd
from billing.web.schemas import UsageLine

_BATCH = 1000
_LINE = UsageLine()


@click.group()
def usage() -> None:
    """What tokens use."""


@usage.command()
@click.argument("token_id", type=ID)
@click.option("--model", type=NAME, required=True)
@amount_options
@click.option("--prompt-tokens", type=TOKENS, default=0)
@click.option("--completion-tokens", type=TOKENS, default=0)
@click.option("--at", type=Instant(), help="When; now if left out.")
@click.option("--request-id", type=NAME, help="Recorded once, however often this is run.")
@click.option("--refund", is_flag=True, help="Give back what a use took.")
@command
def record(as_json: bool, usd: str | None, quota: int | None, **given: Any) -> None:
    """Record one use of the token TOKEN_ID, or its refund."""
    one = Usage(quota=amount(usd, quota), **given)
    with opened() as database:
        outcome = recording.record(database, [one])
    for _, reason in outcome.bad:
        raise CommandError(reason)
    show({"recorded": outcome.recorded, "skipped": outcome.skipped}, as_json)


@usage.command("import")
@click.argument("file", type=click.File("rb"))
@command
def import_lines(file: BinaryIO, as_json: bool) -> None:
    """Record the JSON lines of FILE (`-` for standard input).

    Fields: token_id, model, quota or usd, prompt_tokens, completion_tokens, at, request_id,
    refund. Lines with a request_id are recorded once, however often the file is imported.
    """
    total, stopped = Outcome(), ""
    with opened() as database, _progress(file) as lines:
        numbered = enumerate(lines, 1)
        while batch := list(islice(numbered, _BATCH)):
            try:
                _import(database, batch, total)
            except driver_errors() as error:
                cause = fault(error, service().settings.database_url)
                stopped = f"{cause}: lines from {batch[0][0]} on are not recorded, those before are"
                break
    total.bad.sort()
    if as_json:
        bad = [{"line": line, "reason": reason} for line, reason in total.bad]
        show({"recorded": total.recorded, "skipped": total.skipped, "bad": bad}, True)
    else:
        for line, reason in total.bad:
            click.echo(f"line {line}: {reason}", err=True)
        counts = {"recorded": total.recorded, "skipped": total.skipped, "bad": len(total.bad)}
        show(counts, False)
    if stopped:
        raise CommandError(stopped)
    if total.bad:
        click.get_current_context().exit(1)


def _import(database: peewee.Database, batch: list[tuple[int, bytes]], total: Outcome) -> None:
    usages, numbers = [], []
    for number, line in batch:
        if not line.strip():
            continue
        try:
            usages.append(_parse(line))
            numbers.append(number)
        except ValueError as error:
            total.bad.append((number, str(error)))
    outcome = recording.record(database, usages)
    total.recorded += outcome.recorded
    total.skipped += outcome.skipped
    total.bad += [(numbers[position], reason) for position, reason in outcome.bad]


def _parse(line: bytes) -> Usage:
    """Raises ValueError, whose text says what is wrong with the line."""
    try:
        given = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    try:
        fields = _LINE.load(given)
    except ValidationError as error:
        raise ValueError(_reason(error.messages)) from error
    usd, quota = fields.pop("usd", None), fields.pop("quota", None)
    if (usd is None) == (quota is None):
        raise ValueError("give one of quota and usd")
    if usd is not None:
        try:
            quota = quota_of_usd(str(usd), service().settings.quota_per_unit)
        except ValueError as error:
            raise ValueError(f"usd: {error}") from error
    return Usage(quota=quota, **fields)


def _reason(messages: Any) -> str:
    """One line that no field name of the file's can stretch or colour."""
    if "_schema" in messages:
        return "not a JSON object"
    reasons = (f"{name}: {' '.join(texts).rstrip('.')}" for name, texts in messages.items())
    return "".join(char if char.isprintable() else "?" for char in "; ".join(reasons))[:200]


def _progress(file: BinaryIO) -> AbstractContextManager[Iterable[bytes]]:
    """The file's lines, counted by a bar where somebody sees it."""
    try:
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        size = 0
    if not size or not sys.stderr.isatty():
        return nullcontext(file)
    return _bar(file, size)


@contextmanager
def _bar(file: BinaryIO, size: int) -> Iterator[Iterable[bytes]]:
    with click.progressbar(length=size, label="importing", file=sys.stderr) as bar:

        def lines() -> Iterator[bytes]:
            for line in file:
                bar.update(len(line))
                yield line

        yield lines()
