"""What every command shares: its database and its errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask.cli import with_appcontext

from billing.cli.output import printable
from billing.core.service import current_service
from billing.database import schema
from billing.database.connection import Database
from billing.database.dialects.base import Access, Dialect
from billing.database.faults import translated_errors
from billing.errors import CommandError, DatabaseError


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with `--json`, in the app's context; its failures are one line and status 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
    @with_appcontext
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CommandError as error:
            raise click.ClickException(printable(str(error))) from error
        except UnicodeEncodeError as error:
            raise click.ClickException("an argument is not UTF-8") from error
        except BrokenPipeError:
            raise  # standard output was closed: click ends quietly
        except OSError as error:
            raise click.ClickException(printable(f"cannot read or write: {error}")) from error

    return run


@contextmanager
def open_database(access: Access = "write") -> Iterator[Dialect]:
    """The settings' database, the models bound to it; its tables are checked but to create.

    Raises CommandError for what the database raises, and in attached mode.
    """
    service = current_service()
    if service.attached:
        raise CommandError(
            "attached: the database is the gateway's, and this service only reads it"
        )
    settings = service.settings
    url = settings.database_url
    database = Database(url, settings.database_timeout, access)
    try:
        with translated_errors(database.peewee), database.peewee.bind_ctx(schema.MODELS):
            database.peewee.connect()
            if access != "create":
                schema.check_version(database.peewee)
                database.peewee.enable_wal()
            try:
                yield database.peewee
            finally:
                database.peewee.empty_wal()
    except DatabaseError as error:
        if access == "create" and url.dialect == "sqlite" and not url.path.exists():
            raise CommandError(f"cannot make {url.path}: no such folder, or no right to") from error
        raise CommandError(f"the database failed: {error}") from error
    finally:
        database.close()
