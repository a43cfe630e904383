"""`flask user …`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result
from billing.cli.parameters import NAME, amount, amount_options, below_option
from billing.cli.spendable import rows_below
from billing.core import accounts
from billing.database.models import User


@click.group()
def user() -> None:
    """Users and their wallets."""


def _public(row: User) -> dict[str, Any]:
    return {
        "id": row.id,
        "username": row.username,
        "status": row.status,
        "quota": row.quota,
        "used_quota": row.used_quota,
        "request_count": row.request_count,
        "created_at": row.created_at,
    }


@user.command()
@click.argument("name", type=NAME)
@amount_options
@command
def add(name: str, usd: str | None, quota: int | None, as_json: bool) -> None:
    """Make the user NAME; its access token is shown this once."""
    added = amount(usd, quota, required=False)
    with open_database():
        made, access_token = accounts.add_user(name, added)
    print_result({**_public(made), "access_token": access_token}, as_json)


@user.command("list")
@below_option
@command
def list_users(below: Fraction | None, as_json: bool) -> None:
    """List the users that are not deleted; with --below also what each can spend."""
    with open_database():
        users = accounts.users_not_deleted()
    rows = [_public(row) for row in users]
    if below is not None:
        rows = rows_below(rows, accounts.spendable_by_user(users), below)
    print_result(rows, as_json)


@user.command("show")
@click.argument("name", type=NAME)
@command
def show_user(name: str, as_json: bool) -> None:
    """Show the user NAME."""
    with open_database():
        row = accounts.user_named(name)
    print_result(_public(row), as_json)


@user.command()
@click.argument("name", type=NAME)
@amount_options
@command
def credit(name: str, usd: str | None, quota: int | None, as_json: bool) -> None:
    """Add to the wallet of the user NAME."""
    added = amount(usd, quota)
    with open_database():
        row = accounts.credit_user(name, added)
    print_result(_public(row), as_json)


@user.command()
@click.argument("name", type=NAME)
@command
def disable(name: str, as_json: bool) -> None:
    """Switch the user NAME off: nothing of theirs authenticates until `enable`."""
    with open_database():
        row = accounts.set_user_status(name, enabled=False)
    print_result(_public(row), as_json)


@user.command()
@click.argument("name", type=NAME)
@command
def enable(name: str, as_json: bool) -> None:
    """Switch the user NAME on again."""
    with open_database():
        row = accounts.set_user_status(name, enabled=True)
    print_result(_public(row), as_json)


@user.command()
@click.argument("name", type=NAME)
@command
def delete(name: str, as_json: bool) -> None:
    """Delete the user NAME for good; figures stay in the database, the name stays taken."""
    with open_database():
        row = accounts.delete_user(name)
    print_result(_public(row), as_json)


@user.command("new-access-token")
@click.argument("name", type=NAME)
@command
def new_access_token(name: str, as_json: bool) -> None:
    """Replace the access token of the user NAME; the new one is shown this once."""
    with open_database():
        row, access_token = accounts.new_access_token(name)
    print_result({"id": row.id, "username": row.username, "access_token": access_token}, as_json)
