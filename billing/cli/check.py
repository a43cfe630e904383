"""`flask check`: what an operator runs first."""

from __future__ import annotations

import sys

import click

from billing.cli.common import command, show
from billing.core import diagnostics as checking
from billing.core.service import service
from billing.errors import BillingError
from billing.web.auth import token_with


@click.command()
@click.option("--token-id", type=click.IntRange(1, 2**63 - 1), help="Explain this token.")
@click.option("--key", "from_stdin", is_flag=True, help="Explain the key on standard input.")
@command
def check(token_id: int | None, from_stdin: bool, as_json: bool) -> None:
    """See whether the service can answer from its database, and what is odd about it.

    Ends with 0 when all is well, 1 with warnings, 2 when it cannot serve.
    """
    billing = service()
    try:
        report = checking.inspect(billing)
        explained = None
        billing.begin()
        if from_stdin:
            key = sys.stdin.readline().strip()
            explained = checking.explain(billing, token_with(billing, key))
        elif token_id is not None:
            explained = checking.explain(billing, billing.reads.token_of_id(token_id))
    except BillingError as error:
        if as_json:
            show({"serves": False, "error": str(error)}, True)
        click.echo(f"cannot serve: {error}", err=True)
        click.get_current_context().exit(2)
    finally:
        billing.close()
    if as_json:
        body = {"serves": True, **report.facts, "warnings": report.warnings}
        show({**body, "token": explained} if explained else body, True)
    else:
        settings = report.facts.pop("settings")
        show(report.facts, False)
        click.echo()
        show([{"setting": name, **value} for name, value in settings.items()], False)
        if explained:
            click.echo()
            show(explained, False)
        for warning in report.warnings:
            click.echo(f"warning: {warning}", err=True)
    if report.warnings:
        click.get_current_context().exit(1)
