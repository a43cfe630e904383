"""How tables are read and written; knows no Flask and no settings."""

import importlib
import sys
from typing import Any


def _import_peewee_without_drivers() -> None:
    """Peewee would import each driver that is installed: 20 MiB and half a second of a worker.

    The dialect of an address imports the one that it needs.
    """
    modules: dict[str, Any] = sys.modules
    hidden = {"MySQLdb", "psycopg", "psycopg2", "pymysql"} - modules.keys()
    # None is how Python marks a module that must not be found.
    modules.update(dict.fromkeys(hidden))
    importlib.import_module("peewee")
    for name in hidden:
        del modules[name]


_import_peewee_without_drivers()
