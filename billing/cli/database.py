"""The commands for the database as a whole: init, quickstart, backup; and version."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import click

from billing import accounts, tables
from billing.cli.shell import command, opened, show
from billing.models import User
from billing.service import VERSION, service

#: A Procfile's release phase must pass in attached mode too.
_NOTHING = {"attached": "nothing to do"}


@click.command()
@command
def init(as_json: bool) -> None:
    """Make the tables if they are missing. Safe to repeat."""
    if service().attached:
        show(_NOTHING, as_json)
        return
    with opened("create") as database:
        changed = tables.init(database)
    show({"database": "created" if changed else "ready"}, as_json)


@click.command()
@command
def quickstart(as_json: bool) -> None:
    """Make the tables, and a first user and token if there are none."""
    if service().attached:
        show(_NOTHING, as_json)
        return
    with opened("create") as database:
        tables.init(database)
        if User.select().exists():
            show({"database": "ready"}, as_json)
            return
        quota = round(100 * service().settings.quota_per_unit)
        user, access_token = accounts.add_user(database, "first", quota)
        token, key = accounts.add_token(
            database,
            user.username,
            name="first",
            quota=quota,
            unlimited=False,
            expired_time=-1,
            allow_ips="",
        )
    made: dict[str, Any] = {
        "user_id": user.id,
        "username": user.username,
        "access_token": access_token,
        "token_id": token.id,
        "key": f"sk-{key}",
    }
    show(made, as_json)
    if not as_json:
        port = service().settings.port
        click.echo("\nBoth secrets are shown this once. Once the service runs, try:\n")
        click.echo(
            f"curl -H 'Authorization: Bearer sk-{key}' "
            f"http://127.0.0.1:{port}/v1/dashboard/billing/subscription\n"
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@command
def backup(file: Path, as_json: bool) -> None:
    """Copy the SQLite database to a new FILE, consistent while it is in use."""
    with opened() as database:
        tables.backup(database, file)
    show({"backup": str(file), "bytes": file.stat().st_size}, as_json)


@click.command()
@command
def version(as_json: bool) -> None:
    """Show our version and those under it."""
    names = ("flask", "werkzeug", "gunicorn", "peewee", "marshmallow", "pymysql")
    versions = {name: importlib.metadata.version(name) for name in names}
    show({"billing": VERSION, "python": platform.python_version(), **versions}, as_json)


commands = (init, quickstart, backup, version)
