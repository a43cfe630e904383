"""Two migrations that no release has, to test how any is applied; they follow those that are."""

from __future__ import annotations

import os

from peewee import SQL, CharField, ModelIndex

from billing.database.dialects.base import Dialect
from billing.database.migrations import MIGRATIONS as RELEASED
from billing.database.migrations import Migration, add_column, add_index
from billing.database.models import Token


class TokenWithNote(Token):
    """A token as the newest version would have it."""

    note = CharField(64, constraints=[SQL("DEFAULT ''")])

    class Meta:
        table_name = "tokens"


NOTE_INDEX = ModelIndex(TokenWithNote, (TokenWithNote.note,), name="token_note")


def add_note(database: Dialect) -> None:
    add_column(database, TokenWithNote.note)
    if os.environ.get("KILL_MIGRATION") == "first":
        os._exit(9)


def index_note(database: Dialect) -> None:
    add_index(database, TokenWithNote, NOTE_INDEX)
    if os.environ.get("KILL_MIGRATION") == "second":
        os._exit(9)


NEWEST = RELEASED[-1].version
MIGRATIONS = (
    *RELEASED,
    Migration(NEWEST + 1, "add tokens.note", add_note),
    Migration(NEWEST + 2, "index tokens.note", index_note),
)
