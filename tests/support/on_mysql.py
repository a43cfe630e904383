"""Which tests run on MariaDB alone, though they are written for each kind of database.

MySQL runs what sends it SQL of its own, or judges its answers: the wire contract, recording and
import, credit grants, every gateway's tables, migrations, faults. MariaDB stands for both where the
SQL is that of another test and what is tested lies above it: how texts and options are judged,
logs, servers. Tests of many processes at once run on both where they could lose a row.
"""

from __future__ import annotations

from tests.support.gunicorn import Gunicorn

#: Modules, or single tests of one.
MARIADB_ALONE = (
    "cli/test_command_errors.py",
    "cli/test_quickstart.py::test_quickstarts_at_once",
    "cli/test_usage_report.py::test_mistakes_end",
    "core/test_gateway_options.py::test_a_number_that_is_none",
    "core/test_subscriptions.py::test_the_users_preference",
    "core/test_terms.py",
    "database/test_concurrency.py::test_8_processes",
    "live/test_faults.py::test_a_killed_worker",
    "live/test_fuzz.py",
    "live/test_json_logs.py",
    "live/test_logs.py",
    "live/test_odd_requests.py",
    "live/test_openapi.py",
    "live/test_restarts.py",
    "live/test_threads.py",
    "web/test_auth.py::test_of_two_faults",
    "web/test_header_spellings.py",
    "web/test_metrics.py",
)


def needs_no_mysql(name: str, parameters: dict[str, object]) -> bool:
    """Whether a test, by its path under tests/ and its parameters, is none for MySQL."""
    kinds = [kind[-1] if kind and isinstance(kind, tuple) else kind for kind in parameters.values()]
    if "mysql" not in kinds:
        return False
    # Each server is tried with each database but this: one server's proof is good for all.
    others = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Gunicorn)]
    return name.startswith(MARIADB_ALONE) or any(kind is not Gunicorn for kind in others)
