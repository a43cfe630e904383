"""`flask usage show`: what was used, by day or model, on the terminal or as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from billing.cli.common import ID, NAME, Instant, command, show
from billing.core.daily_costs import DAY, Spent, spent
from billing.core.service import Service, service
from billing.database.queries import TokenRow, UserRow
from billing.errors import BillingError, CommandError

_BAR = 24


@click.command("show")
@click.argument("user", type=NAME, required=False)
@click.option("--token", "token_id", type=ID, help="A token's id.")
@click.option("--from", "start", type=Instant(), help="First day; 30 days ago if left out.")
@click.option("--to", "end", type=Instant(), help="Day after the last; tomorrow if left out.")
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
    billing = service()
    try:
        billing.begin()
        rows = spent(billing, *_whose(billing, user, token_id), first, last)
    except BillingError as error:
        raise CommandError(f"the database failed: {error}") from error
    finally:
        billing.close()
    table = _table(billing, rows, by)
    if as_csv:
        click.echo(_csv(table).encode(), nl=False)
    elif as_json:
        show(table, True)
    else:
        _bars(table, billing.settings.display_unit)


def _whose(
    billing: Service, name: str | None, token_id: int | None
) -> tuple[UserRow, TokenRow | None]:
    if name is not None:
        user = billing.reads.user_named(name)
        if user is None:
            raise CommandError(f"no user named {name!r}")
        return user, None
    token = billing.reads.token_of_id(token_id or 0)
    if token is None:
        raise CommandError(f"no token {token_id}")
    return token.user or _GONE._replace(id=token.user_id or 0), token


#: The owner of a token whose user's row is gone.
_GONE = UserRow(0, None, None, None, None, None, None)


def _table(billing: Service, rows: Iterable[Spent], by: str) -> list[dict[str, Any]]:
    """Rows of day or model and cost, in whole display units; models by cost, days by date."""
    sums: Counter[Any] = Counter()
    for row in rows:
        sums[row.day if by == "day" else row.model] += row.quota
    if by == "day":
        pairs = [
            (f"{datetime.fromtimestamp(day, UTC):%Y-%m-%d}", sums[day]) for day in sorted(sums)
        ]
    else:
        pairs = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    amount = billing.display.amount
    return [{by: name, "cost": float(amount(quota)), "quota": quota} for name, quota in pairs]


def _bars(table: list[dict[str, Any]], unit: str) -> None:
    if not table:
        click.echo("nothing was used", err=True)
        return
    most = max(max(row["cost"] for row in table), 1e-300)
    total = sum(row["quota"] for row in table)
    shown = []
    for row in table:
        name, cost, _ = row.values()
        bar = "█" * round(max(cost, 0) / most * _BAR)
        shown.append({next(iter(row)): name, f"cost ({unit})": f"{cost:.6f}", "": bar})
    show(shown, False)
    click.echo(f"total: {float(service().display.amount(total)):.6f} {unit}")


def _csv(table: list[dict[str, Any]]) -> str:
    """UTF-8 with a BOM and CRLF, as spreadsheets expect; no cell that they take for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if table:
        writer.writerow(table[0])
    writer.writerows([_defused(cell) for cell in row.values()] for row in table)
    return "\ufeff" + text.getvalue()


def _defused(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell
