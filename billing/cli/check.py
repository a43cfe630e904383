"""`flask check`: prints what `billing.core.diagnostics` finds."""

from __future__ import annotations

import sys

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result, print_warning
from billing.core import diagnostics
from billing.core.credentials import find_token, strip_bearer
from billing.core.service import current_service
from billing.errors import BillingError, CommandError


@click.command()
@click.option("--token-id", type=click.IntRange(1, 2**63 - 1), help="Explain this token.")
@click.option("--key", "from_stdin", is_flag=True, help="Explain the key on standard input.")
@command
def check(token_id: int | None, from_stdin: bool, as_json: bool) -> None:
    """See whether the service can answer from its database, and what is odd about it.

    Ends with 0 when all is well, 1 with warnings, 2 when it cannot serve.
    """
    service = current_service()
    try:
        report = diagnostics.inspect(service)
        if service.database.peewee.is_wal_missing():
            _set_wal(report)
        explained = None
        service.start_request()
        if from_stdin:
            key = strip_bearer(sys.stdin.readline().strip())
            explained = diagnostics.explain(service, find_token(service, key))
        elif token_id is not None:
            explained = diagnostics.explain(service, service.queries.token_of_id(token_id))
    except BillingError as error:
        if as_json:
            print_result({"serves": False, "error": str(error)}, True)
        print_warning(f"cannot serve: {error}")
        click.get_current_context().exit(2)
    finally:
        service.close()
    if as_json:
        body = {"serves": True, **report.facts, "warnings": report.warnings}
        print_result({**body, "token": explained} if explained else body, True)
    else:
        settings = report.facts.pop("settings")
        print_result(report.facts, False)
        click.echo()
        print_result([{"setting": name, **value} for name, value in settings.items()], False)
        if explained:
            click.echo()
            print_result(explained, False)
        for warning in report.warnings:
            print_warning(f"warning: {warning}")
    if report.warnings:
        click.get_current_context().exit(1)


def _set_wal(report: diagnostics.Report) -> None:
    """What every other command does as well to a restored backup, which is not in WAL mode."""
    try:
        with open_database():
            pass
    except CommandError as error:
        report.warnings.append(f"readers wait for writers, since WAL mode cannot be set: {error}")
