"""`flask usage show`: what was used, by day or model, as a table, JSON or CSV."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from billing.cli.common import command
from billing.cli.output import csv_text, print_result
from billing.cli.parameters import ID, NAME, Timestamp
from billing.core.daily_costs import DAY, DailyCost, daily_costs
from billing.core.service import Service, current_service
from billing.database.queries import TokenRow, UserRow
from billing.errors import BillingError, CommandError
from billing.quota import Display

_BAR_WIDTH = 24


@click.command("show")
@click.argument("user", type=NAME, required=False)
@click.option("--token", "token_id", type=ID, help="A token's id.")
@click.option("--from", "start", type=Timestamp(), help="First day; 30 days ago if left out.")
@click.option("--to", "end", type=Timestamp(), help="Day after the last; tomorrow if left out.")
@click.option("--by", type=click.Choice(["day", "model"]), default="day", show_default=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@command
def show_usage(
    user: str | None,
    token_id: int | None,
    start: int | None,
    end: int | None,
    by: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what USER or a token used, by UTC day or by model, in the display unit."""
    if (user is None) == (token_id is None):
        raise click.UsageError("name a USER or give --token")
    if as_csv and as_json:
        raise click.UsageError("give one of --csv and --json")
    today = int(time.time()) // DAY * DAY
    last = today + DAY if end is None else end + -end % DAY
    first = last - 30 * DAY if start is None else start // DAY * DAY
    if last <= first:
        raise click.UsageError("--to must be after --from")
    service = current_service()
    try:
        service.start_request()
        found = daily_costs(service, *_find_owner(service, user, token_id), first, last)
    except BillingError as error:
        raise CommandError(f"the database failed: {error}") from error
    finally:
        service.close()
    if found.known_since:
        since = datetime.fromtimestamp(found.known_since, UTC)
        click.echo(f"not known before {since:%Y-%m-%d %H:%M} UTC: the logs begin there", err=True)
    table = _table(service.display, found.costs, by)
    if as_csv:
        rows = [list(table[0]), *(row.values() for row in table)] if table else []
        click.echo(csv_text(rows).encode(), nl=False)
    elif as_json:
        print_result(table, True)
    else:
        _print_bars(service, table)


def _find_owner(
    service: Service, name: str | None, token_id: int | None
) -> tuple[UserRow, TokenRow | None]:
    if name is not None:
        user = service.queries.user_named(name)
        if user is None:
            raise CommandError(f"no user named {name!r}")
        return user, None
    token = service.queries.token_of_id(token_id or 0)
    if token is None:
        raise CommandError(f"no token {token_id}")
    return token.user or _DELETED_USER._replace(id=token.user_id or 0), token


#: Stands for the owner of a token whose user's row is gone.
_DELETED_USER = UserRow(0, None, None, None, None, None, None)


def _table(display: Display, costs: Iterable[DailyCost], by: str) -> list[dict[str, Any]]:
    """Rows of day or model and cost, in whole display units; models by cost, days by date."""
    sums: Counter[Any] = Counter()
    for cost in costs:
        sums[cost.day if by == "day" else cost.model] += cost.quota
    if by == "day":
        pairs = [
            (f"{datetime.fromtimestamp(day, UTC):%Y-%m-%d}", sums[day]) for day in sorted(sums)
        ]
    else:
        pairs = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        {by: name, "cost": float(display.amount(quota)), "quota": quota} for name, quota in pairs
    ]


def _print_bars(service: Service, table: list[dict[str, Any]]) -> None:
    if not table:
        click.echo("nothing was used", err=True)
        return
    unit = service.settings.display_unit
    most = max(max(row["cost"] for row in table), 1e-300)
    total = sum(row["quota"] for row in table)
    rows = []
    for row in table:
        name, cost, _ = row.values()
        bar = "█" * round(max(cost, 0) / most * _BAR_WIDTH)
        rows.append({next(iter(row)): name, f"cost ({unit})": f"{cost:.6f}", "": bar})
    print_result(rows, False)
    click.echo(f"total: {float(service.display.amount(total)):.6f} {unit}")
