"""`flask usage …`: the group, and `record`."""

from __future__ import annotations

from typing import Any

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result
from billing.cli.parameters import ID, NAME, TOKENS, Timestamp, amount, amount_options
from billing.core import recording
from billing.core.recording import Usage
from billing.errors import CommandError


@click.group()
def usage() -> None:
    """What tokens use."""


@usage.command()
@click.argument("token_id", type=ID)
@click.option("--model", type=NAME, required=True)
@amount_options
@click.option("--prompt-tokens", type=TOKENS, default=0)
@click.option("--completion-tokens", type=TOKENS, default=0)
@click.option("--at", type=Timestamp(), help="When; now if left out.")
@click.option("--request-id", type=NAME, help="Recorded once, however often this is run.")
@click.option("--refund", is_flag=True, help="Give back what a use took.")
@command
def record(as_json: bool, usd: str | None, quota: int | None, **fields: Any) -> None:
    """Record one use of the token TOKEN_ID, or its refund."""
    usage = Usage(quota=amount(usd, quota), **fields)
    with open_database() as database:
        result = recording.record(database, [usage])
    for _, reason in result.bad:
        raise CommandError(reason)
    print_result({"recorded": result.recorded, "skipped": result.skipped}, as_json)
