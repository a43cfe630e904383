"""`flask usage import`: records the JSON lines of a file, in batches, with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result, print_warning
from billing.cli.parameters import IntegerRange
from billing.core import recording
from billing.core.recording import RecordResult, Usage
from billing.core.service import current_service
from billing.core.usage_lines import parse_usage_line, read_lines
from billing.database.dialects.base import Dialect
from billing.database.faults import translated_errors
from billing.errors import CommandError, DatabaseError

#: Lines of one transaction.
_BATCH_LINES = 1000


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--max-bad",
    type=IntegerRange(1, 10**6),
    default=1000,
    show_default=True,
    help="Stop after so many bad lines.",
)
@command
def import_lines(file: BinaryIO, max_bad: int, as_json: bool) -> None:
    """Record the JSON lines of FILE (`-` for standard input).

    Fields: token_id, model, quota or usd, prompt_tokens, completion_tokens, at, request_id,
    refund. Lines with a request_id are recorded once, however often the file is imported.
    """
    stopped = ""
    with open_database() as database, _progress(file) as on_read:
        batch = _Import(database)
        numbered = enumerate(read_lines(file, on_read), 1)
        try:
            for number, content in numbered:
                batch.add(number, content)
                if len(batch.total.bad) >= max_bad:
                    batch.record()
                    stopped = (
                        f"stopped after {len(batch.total.bad)} bad lines (--max-bad): lines from"
                        f" {number + 1} on are not recorded, good ones before are"
                    )
                    break
            batch.record()
        except DatabaseError as error:
            stopped = (
                f"{error}: lines from {batch.first_line} on are not recorded, those before are"
            )
    total = batch.total
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


class _Import:
    """Records lines in batches; `total` is what became of those that are done."""

    def __init__(self, database: Dialect) -> None:
        self._database = database
        self._quota_per_unit = current_service().settings.quota_per_unit
        self._usages: list[Usage] = []
        self._numbers: list[int] = []
        self.total = RecordResult()
        #: The first line of which it is not known that it is recorded or bad.
        self.first_line = 1

    def add(self, number: int, line: bytes) -> None:
        """Take one more line. Raises DatabaseError."""
        if line.strip():
            try:
                self._usages.append(parse_usage_line(line, self._quota_per_unit))
                self._numbers.append(number)
            except ValueError as error:
                self.total.bad.append((number, str(error)))
        if number + 1 - self.first_line >= _BATCH_LINES:
            self.record()
            self.first_line = number + 1

    def record(self) -> None:
        """Record the lines that wait, in one transaction. Raises DatabaseError."""
        with translated_errors(self._database):
            result = recording.record(self._database, self._usages)
        numbers, self._usages, self._numbers = self._numbers, [], []
        self.total.recorded += result.recorded
        self.total.skipped += result.skipped
        self.total.bad += [(numbers[position], reason) for position, reason in result.bad]


@contextmanager
def _progress(file: BinaryIO) -> Iterator[Callable[[int], object]]:
    """What takes the bytes that are read: a bar, when standard error is a terminal."""
    try:
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        size = 0
    if not size or not sys.stderr.isatty():
        yield lambda read: None
        return
    with click.progressbar(length=size, label="importing", file=sys.stderr) as bar:
        yield bar.update
