"""The commands for the database as a whole: init, quickstart, backup, restore; and version."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import click

from billing.cli.common import command, open_database
from billing.cli.output import print_result
from billing.core import accounts
from billing.core.service import current_service
from billing.database import restore as restoring
from billing.database import schema
from billing.database.dialects import dialect_for
from billing.database.models import Token, User
from billing.errors import CommandError
from billing.version import VERSION

#: A Procfile's release phase must pass in attached mode too.
_NOTHING_TO_DO = {"attached": "nothing to do"}


@click.command()
@command
def init(as_json: bool) -> None:
    """Make the tables if they are missing, or bring older ones up to date. Safe to repeat."""
    if current_service().attached:
        print_result(_NOTHING_TO_DO, as_json)
        return
    with open_database("create") as database:
        result = schema.init(database)
    if not result.migrations:
        print_result({"database": "created" if result.created else "ready"}, as_json)
    elif as_json:
        print_result({"database": "upgraded", "migrations": result.migrations}, True)
    else:
        print_result({"database": "upgraded"}, False)
        for description in result.migrations:
            click.echo(f"migration: {description}")


@click.command()
@command
def quickstart(as_json: bool) -> None:
    """Make the tables, and a first user and token if there are none."""
    if current_service().attached:
        print_result(_NOTHING_TO_DO, as_json)
        return
    with open_database("create") as database:
        schema.init(database)
        with database.exclusive_lock():
            made = _create_first_user()
    print_result(made or {"database": "ready"}, as_json)
    if made and not as_json:
        port = current_service().settings.port
        click.echo("\nBoth secrets are shown this once. Once the service runs, try:\n")
        click.echo(
            f"curl -H 'Authorization: Bearer {made['key']}' "
            f"http://127.0.0.1:{port}/v1/dashboard/billing/subscription\n"
        )


def _create_first_user() -> dict[str, Any] | None:
    """Make a user and a token to try the service with, 100 dollars each; None if there are some.

    If an earlier run made the user and was ended before its token, only the token is made.
    """
    others = User.select().where(User.username != "first")
    if Token.select().exists() or others.exists():
        return None
    quota = round(100 * current_service().settings.quota_per_unit)
    made: dict[str, Any] = {}
    user = User.get_or_none(User.username == "first")
    if user is None:
        user, access_token = accounts.add_user("first", quota)
        made = {"user_id": user.id, "username": user.username, "access_token": access_token}
    token, key = accounts.add_token(
        user.username,
        name="first",
        quota=quota,
        unlimited=False,
        expired_time=-1,
        allow_ips="",
    )
    return {**made, "token_id": token.id, "key": f"sk-{key}"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@command
def backup(file: Path, as_json: bool) -> None:
    """Copy the SQLite database to a new FILE, consistent while it is in use."""
    with open_database() as database:
        schema.backup(database, file)
    print_result({"backup": str(file), "bytes": file.stat().st_size}, as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@command
def restore(file: Path, as_json: bool) -> None:
    """Put the backup FILE in the place of the SQLite database; the service may run meanwhile.

    The database that was there is kept beside it, under a name with the time.
    """
    service = current_service()
    if service.attached:
        raise CommandError("attached: the database is the gateway's, and this service writes none")
    settings = service.settings
    url = settings.database_url
    result = restoring.restore(url, settings.database_timeout, file)
    print_result(
        {
            "restored": str(url.path),
            "kept": str(result.kept) if result.kept else None,
            "migrations": result.migrations if as_json else len(result.migrations),
        },
        as_json,
    )


@click.command()
@command
def version(as_json: bool) -> None:
    """Show the versions of the service, its packages and the database driver that runs."""
    names = ("flask", "werkzeug", "gunicorn", "peewee", "marshmallow", "pymysql")
    versions = {name: importlib.metadata.version(name) for name in names}
    url = current_service().settings.database_url
    driver = " ".join(dialect_for(url).DRIVER)
    print_result(
        {
            "billing": VERSION,
            "python": platform.python_version(),
            **versions,
            "database driver": driver,
        },
        as_json,
    )


commands = (init, quickstart, backup, restore, version)
