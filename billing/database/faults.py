"""Driver errors in, the service's errors out: what a failure means for the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from billing.database.dialects.base import Dialect
from billing.errors import DatabaseError, DatabaseMisconfigured, DatabaseUnavailable


def driver_errors(dialect: Dialect) -> tuple[type[Exception], ...]:
    """What Peewee, the driver and the system raise."""
    # UnicodeError: a host that is no name.
    return (peewee.PeeweeException, OSError, UnicodeError, *dialect.ERRORS)


def driver_error(error: Exception) -> Exception:
    """The driver's own error, out of Peewee's wrapper if there is one."""
    origin: Exception = getattr(error, "orig", error)
    return origin


def translate_error(error: Exception, dialect: Dialect, attached: bool) -> DatabaseError:
    """The error for the caller; its text is for the operator's log.

    DatabaseUnavailable when a retry can help, DatabaseMisconfigured when none can.
    """
    while "cannot rollback" in str(error) and isinstance(error.__context__, Exception):
        # SQLite had rolled back by itself, on a full disk say: the context holds the cause.
        error = error.__context__
    origin, url = driver_error(error), dialect.url
    text = f"{type(origin).__name__}: {dialect.error_text(origin)}"
    if url.dialect == "sqlite" and not url.path.exists():
        text = f"no file {url.path}: restore it, or run `flask init` for a new one"
        if attached:
            text = f"no file {url.path}: correct DATABASE_URL"
    elif url.dialect == "sqlite":
        text = f"{text} ({url.path})"
    elif dialect.is_missing_table(origin) and not attached:
        text += ": run `flask init`"
    permanent = isinstance(origin, dialect.ERRORS) and dialect.is_permanent(origin)
    return DatabaseMisconfigured(text) if permanent else DatabaseUnavailable(text)


@contextmanager
def translated_errors(dialect: Dialect, attached: bool = False) -> Iterator[None]:
    """Raise DatabaseError for what the driver raises within."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # of an argument of the command
    except driver_errors(dialect) as error:
        raise translate_error(error, dialect, attached) from error
