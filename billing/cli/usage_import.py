"""`flask usage import`: records the JSON lines of a file, in batches, with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import BinaryIO

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result, print_warning
from billing.core import recording
from billing.core.recording import RecordResult
from billing.core.service import current_service
from billing.core.usage_lines import parse_usage_line
from billing.database.dialects.base import Dialect
from billing.database.faults import translated_errors
from billing.errors import CommandError, DatabaseError

#: Lines of one transaction.
_BATCH_LINES = 1000


@click.command("import")
@click.argument("file", type=click.File("rb"))
@command
def import_lines(file: BinaryIO, as_json: bool) -> None:
    """Record the JSON lines of FILE (`-` for standard input).

    Fields: token_id, model, quota or usd, prompt_tokens, completion_tokens, at, request_id,
    refund. Lines with a request_id are recorded once, however often the file is imported.
    """
    total, stopped = RecordResult(), ""
    with open_database() as database, _progress(file) as lines:
        numbered = enumerate(lines, 1)
        while batch := list(islice(numbered, _BATCH_LINES)):
            try:
                _import(database, batch, total)
            except DatabaseError as error:
                stopped = f"{error}: lines from {batch[0][0]} on are not recorded, those before are"
                break
    total.bad.sort()
    if as_json:
        bad = [{"line": line, "reason": reason} for line, reason in total.bad]
        print_result({"recorded": total.recorded, "skipped": total.skipped, "bad": bad}, True)
    else:
        for line, reason in total.bad:
            print_warning(f"line {line}: {reason}")
        counts = {"recorded": total.recorded, "skipped": total.skipped, "bad": len(total.bad)}
        print_result(counts, False)
    if stopped:
        raise CommandError(stopped)
    if total.bad:
        click.get_current_context().exit(1)


def _import(database: Dialect, batch: list[tuple[int, bytes]], total: RecordResult) -> None:
    """Record the good lines of a batch, and add to `total`. Raises DatabaseError."""
    quota_per_unit = current_service().settings.quota_per_unit
    usages, numbers = [], []
    for number, line in batch:
        if not line.strip():
            continue
        try:
            usages.append(parse_usage_line(line, quota_per_unit))
            numbers.append(number)
        except ValueError as error:
            total.bad.append((number, str(error)))
    with translated_errors(database):
        result = recording.record(database, usages)
    total.recorded += result.recorded
    total.skipped += result.skipped
    total.bad += [(numbers[position], reason) for position, reason in result.bad]


def _progress(file: BinaryIO) -> AbstractContextManager[Iterable[bytes]]:
    """The file's lines, with a progress bar when standard error is a terminal."""
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
