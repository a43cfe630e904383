"""`flask token …`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result
from billing.cli.parameters import (
    ID,
    NAME,
    Expiry,
    Network,
    allow_list,
    amount,
    amount_options,
    below_option,
)
from billing.cli.spendable import rows_below
from billing.core import accounts
from billing.database.models import DISABLED, ENABLED, Token


@click.group()
def token() -> None:
    """Tokens: what clients authenticate with, each with a cap of its own."""


def _public(row: Token) -> dict[str, Any]:
    return {
        "id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "status": row.status,
        "remain_quota": row.remain_quota,
        "used_quota": row.used_quota,
        "unlimited_quota": bool(row.unlimited_quota),
        "expired_time": row.expired_time,
        "allow_ips": row.allow_ips.split(),
        "created_time": row.created_time,
    }


def _print_token(row: Token, as_json: bool, **more: str) -> None:
    columns = {**_public(row), **more}
    if not as_json:
        columns["allow_ips"] = " ".join(columns["allow_ips"])
    print_result(columns, as_json)


@token.command()
@click.argument("user", type=NAME)
@click.option("--name", type=NAME, default="default", show_default=True)
@amount_options
@click.option("--unlimited", is_flag=True, help="No cap.")
@click.option("--expires", type=Expiry(), default="never", help="DATE, +30d, or never.")
@click.option("--allow-ip", type=Network(), multiple=True, help="Repeat for several.")
@command
def add(
    user: str,
    name: str,
    usd: str | None,
    quota: int | None,
    unlimited: bool,
    expires: int,
    allow_ip: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a token of USER; its key is shown this once."""
    added = amount(usd, quota, required=False)
    if unlimited and (usd is not None or quota is not None):
        raise click.UsageError("--unlimited takes no amount")
    with open_database():
        row, key = accounts.add_token(
            user,
            name=name,
            quota=added,
            unlimited=unlimited,
            expired_time=expires,
            allow_ips=allow_list(allow_ip),
        )
    _print_token(row, as_json, key=f"sk-{key}")


@token.command("list")
@click.argument("user", type=NAME, required=False)
@below_option
@command
def list_tokens(user: str | None, below: Fraction | None, as_json: bool) -> None:
    """List the tokens that are not revoked, of USER alone if named.

    With --below also what each can spend: its own quota, or its user's wallet if that has less.
    """
    with open_database():
        tokens = accounts.tokens_not_revoked(user)
        quotas = {} if below is None else accounts.spendable_by_token(tokens)
    rows = [_public(row) for row in tokens]
    if below is not None:
        rows = rows_below(rows, quotas, below)
    if not as_json:
        rows = [{**row, "allow_ips": " ".join(row["allow_ips"])} for row in rows]
    print_result(rows, as_json)


@token.command("show")
@click.argument("id", type=ID)
@command
def show_token(id: int, as_json: bool) -> None:
    """Show the token ID."""
    with open_database():
        row = accounts.token_of(id)
    _print_token(row, as_json)


@token.command()
@click.argument("id", type=ID)
@click.option("--name", type=NAME)
@click.option("--expires", type=Expiry(), help="DATE, +30d, or never.")
@click.option("--allow-ip", type=Network(), multiple=True, help="Replaces the list.")
@click.option("--any-ip", is_flag=True, help="Drop the allow-list.")
@command
def edit(
    id: int,
    name: str | None,
    expires: int | None,
    allow_ip: tuple[str, ...],
    any_ip: bool,
    as_json: bool,
) -> None:
    """Change what is named of the token ID."""
    if allow_ip and any_ip:
        raise click.UsageError("give one of --allow-ip and --any-ip")
    changes: dict[str, object] = {}
    if name is not None:
        changes["name"] = name
    if expires is not None:
        changes["expired_time"] = expires
    if allow_ip or any_ip:
        changes["allow_ips"] = allow_list(allow_ip)
    if not changes:
        raise click.UsageError("name something to change")
    with open_database():
        row = accounts.edit_token(id, changes)
    _print_token(row, as_json)


@token.command()
@click.argument("id", type=ID)
@amount_options
@command
def credit(id: int, usd: str | None, quota: int | None, as_json: bool) -> None:
    """Add to the cap of the token ID; the user's wallet is left alone."""
    added = amount(usd, quota)
    with open_database():
        row = accounts.credit_token(id, added)
    _print_token(row, as_json)


@token.command()
@click.argument("id", type=ID)
@command
def disable(id: int, as_json: bool) -> None:
    """Switch the token ID off until `enable`."""
    with open_database():
        row = accounts.edit_token(id, {"status": DISABLED})
    _print_token(row, as_json)


@token.command()
@click.argument("id", type=ID)
@command
def enable(id: int, as_json: bool) -> None:
    """Switch the token ID on again."""
    with open_database():
        row = accounts.edit_token(id, {"status": ENABLED})
    _print_token(row, as_json)


@token.command()
@click.argument("id", type=ID)
@command
def revoke(id: int, as_json: bool) -> None:
    """End the token ID for good; what it used stays recorded."""
    with open_database():
        row = accounts.revoke_token(id)
    _print_token(row, as_json)
