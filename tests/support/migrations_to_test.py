"""Two migrations that no release has, to test how any is applied."""

from __future__ import annotations

import os

from peewee import SQL, CharField, ModelIndex

from billing.database.dialects.base import Dialect
from billing.database.models import Token
from billing.database.schema import Migration, add_column, add_index


class TokenWithNote(Token):
    """A token as version 3 would have it."""

    note = CharField(64, constraints=[SQL("DEFAULT ''")])

    class Meta:
        table_name = "tokens"


NOTE_INDEX = ModelIndex(TokenWithNote, (TokenWithNote.note,), name="token_note")


def add_note(database: Dialect) -> None:
    add_column(database, TokenWithNote.note)
    if os.environ.get("KILL_MIGRATION") == "2":
        os._exit(9)


def index_note(database: Dialect) -> None:
    add_index(database, TokenWithNote, NOTE_INDEX)
    if os.environ.get("KILL_MIGRATION") == "3":
        os._exit(9)


MIGRATIONS = (
    Migration(2, "add tokens.note", add_note),
    Migration(3, "index tokens.note", index_note),
)
