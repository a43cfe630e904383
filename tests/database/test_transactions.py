"""Transactions of commands: which errors are repeated, which are not."""

from __future__ import annotations

from collections.abc import Iterator

import peewee
import pytest

from billing.database import schema
from billing.database.connection import Database
from billing.database.dialects.base import Dialect
from billing.database.models import User
from billing.database.transactions import run_in_transaction
from config import DatabaseURL, database_url
from tests.support.application import Billing
from tests.support.mariadb import MariaDB


@pytest.fixture
def writer(billing: Billing) -> Iterator[Dialect]:
    """A connection as commands have it, the models bound to it."""
    database = Database(billing.app.extensions["billing"].settings.database_url, 10, "write")
    with database.peewee.bind_ctx(schema.MODELS):
        database.peewee.connect()
        yield database.peewee
    database.close()


def user(name: str) -> User:
    return User.create(username=name, access_token=name, created_at=1)


def test_a_lasting_conflict_is_told_after_a_few_attempts(writer: Dialect) -> None:
    user("alice")
    attempts = []

    def add_alice_again() -> User:
        attempts.append(1)
        return user("alice")

    with pytest.raises(peewee.IntegrityError):
        run_in_transaction(writer, add_alice_again)

    assert len(attempts) == (5 if writer.url.dialect == "mysql" else 1)
    assert User.select().count() == 1


def test_a_row_of_another_writer_is_found_when_the_work_is_repeated(mariadb: MariaDB) -> None:
    with mariadb.database() as url:
        Billing(url).run("init")
        done = add_alice_while_another_does(database_url(url))

    assert done == "found"


def add_alice_while_another_does(url: DatabaseURL) -> str:
    ours, theirs = Database(url, 10, "write"), Database(url, 10, "write")

    def find_or_add() -> str:
        if User.get_or_none(User.username == "alice"):
            return "found"
        if theirs.peewee.is_closed():
            theirs.peewee.connect()
            theirs.peewee.execute_sql(
                "INSERT INTO users (username, status, access_token, quota, used_quota,"
                " request_count, created_at) VALUES ('alice', 1, 't', 0, 0, 0, 1)"
            )
        user("alice")
        return "added"

    with ours.peewee.bind_ctx(schema.MODELS):
        ours.peewee.connect()
        done = run_in_transaction(ours.peewee, find_or_add)
    ours.close()
    theirs.close()
    return done


def test_an_error_of_the_work_itself_is_not_repeated(writer: Dialect) -> None:
    attempts = []

    def fail() -> None:
        attempts.append(1)
        raise peewee.ProgrammingError("no")

    with pytest.raises(peewee.ProgrammingError):
        run_in_transaction(writer, fail)

    assert len(attempts) == 1


def test_an_update_that_changes_nothing_counts_the_row(writer: Dialect) -> None:
    user("alice")

    assert User.update(quota=User.quota + 0).where(User.username == "alice").execute() == 1
    assert User.update(quota=User.quota + 0).where(User.username == "bob").execute() == 0
