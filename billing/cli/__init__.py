"""Click commands of the operators; the work is done in `billing.core`."""

from __future__ import annotations

from flask import Flask

from billing.cli.check import check
from billing.cli.database import commands as database_commands
from billing.cli.tokens import token
from billing.cli.usage import usage
from billing.cli.usage_import import import_lines
from billing.cli.usage_report import show_usage
from billing.cli.usage_warm import warm_usage
from billing.cli.users import user


def init_app(app: Flask) -> None:
    """Add the commands to `flask`."""
    for subcommand in (import_lines, show_usage, warm_usage):
        usage.add_command(subcommand)
    for command in (*database_commands, check, user, token, usage):
        app.cli.add_command(command)
