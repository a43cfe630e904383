"""The operators' commands: thin shells over functions that live below."""

from __future__ import annotations

from flask import Flask

from billing.cli import check, database, tokens, usage, users
from billing.cli import usage_report as usage_show


def init_app(app: Flask) -> None:
    usage.usage.add_command(usage_show.show_usage)
    for command in (
        *database.commands,
        check.check,
        users.user,
        tokens.token,
        usage.usage,
    ):
        app.cli.add_command(command)
