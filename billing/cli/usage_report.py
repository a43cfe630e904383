"""`flask usage show`: what was used, by day or model, as a table, JSON or CSV."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from billing.cli.common import command
from billing.cli.output import csv_text, print_result
from billing.cli.parameters import ID, NAME, Zone, parse_moment
from billing.core.daily_costs import daily_costs
from billing.core.days import Period, date_at, day_end, day_start, days_between
from billing.core.hours import Hour, merge
from billing.core.service import Service, current_service
from billing.database.queries import TokenRow, UserRow
from billing.errors import BadParameter, BillingError, CommandError
from billing.quota import Display

_BAR_WIDTH = 24


@click.command("show")
@click.argument("user", type=NAME, required=False)
@click.option("--token", "token_id", type=ID, help="A token's id.")
@click.option("--from", "start", metavar="DATE", help="First day; 30 days ago if left out.")
@click.option("--to", "end", metavar="DATE", help="Day after the last; tomorrow if left out.")
@click.option(
    "--timezone",
    "zone",
    type=Zone(),
    default="UTC",
    show_default=True,
    help="Whose days they are, by its IANA name.",
)
@click.option("--by", type=click.Choice(["day", "model"]), default="day", show_default=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@command
def show_usage(
    user: str | None,
    token_id: int | None,
    start: str | None,
    end: str | None,
    zone: tzinfo,
    by: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what USER or a token used, by day or by model, in the display unit."""
    if (user is None) == (token_id is None):
        raise click.UsageError("name a USER or give --token")
    if as_csv and as_json:
        raise click.UsageError("give one of --csv and --json")
    period = _period(start, end, zone)
    service = current_service()
    try:
        service.start_request()
        found = daily_costs(service, *_find_owner(service, user, token_id), period)
    except BadParameter as error:
        raise click.UsageError(f"--{error.en}") from error
    except BillingError as error:
        raise CommandError(f"the database failed: {error}") from error
    finally:
        service.close()
    if found.known_since:
        since = datetime.fromtimestamp(found.known_since, UTC)
        click.echo(f"not known before {since:%Y-%m-%d %H:%M} UTC: the logs begin there", err=True)
    table = _table(service.display, found.costs, by, zone)
    if as_csv:
        rows = [list(table[0]), *(row.values() for row in table)] if table else []
        click.echo(csv_text(rows).encode(), nl=False)
    elif as_json:
        print_result(table, True)
    else:
        _print_bars(service, table)


def _period(start: str | None, end: str | None, zone: tzinfo) -> Period:
    """The whole days from `start` to `end`. Raises UsageError."""
    moments: list[int | None] = []
    for name, text in (("--from", start), ("--to", end)):
        try:
            moments.append(None if text is None else parse_moment(text, zone))
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=name) from error
    try:
        last = day_end(int(time.time()), zone) if moments[1] is None else moments[1]
        if day_start(last, zone) < last:
            last = day_end(last, zone)
        last_day = date_at(last, zone)
        first_day = last_day - timedelta(days=30)
        if moments[0] is not None:
            first_day = date_at(moments[0], zone)
    except (OverflowError, ValueError) as error:
        raise click.UsageError("--to must be before the year 9999 ends") from error
    if last_day <= first_day:
        raise click.UsageError("--to must be after --from")
    return days_between(first_day, last_day, zone)


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


def _table(display: Display, costs: Iterable[Hour], by: str, zone: tzinfo) -> list[dict[str, Any]]:
    """Rows of day or model, cost in whole display units and what was used; models by cost."""
    if by == "day":
        sums = merge(cost._replace(model="") for cost in costs)
        sums.sort(key=lambda row: row.start)
    else:
        sums = merge(cost._replace(start=0) for cost in costs)
        sums.sort(key=lambda row: (-row.quota, row.model))
    return [
        {
            by: str(date_at(row.start, zone)) if by == "day" else row.model,
            "cost": float(display.amount(row.quota)),
            "quota": row.quota,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "requests": row.requests,
        }
        for row in sums
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
        (by, name), (_, cost), _, *counts = row.items()
        bar = "█" * round(max(cost, 0) / most * _BAR_WIDTH)
        used = {title.replace("_", " "): count for title, count in counts}
        rows.append({by: name, f"cost ({unit})": f"{cost:.6f}", **used, "": bar})
    print_result(rows, False)
    click.echo(f"total: {float(service.display.amount(total)):.6f} {unit}")
