"""The layout of CONTRIBUTING.md: imports, who reads the environment, which routes are open."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Billing
from tests.support.servers import ROOT

#: Each module may import those on floors above its own line, never a neighbour.
FLOORS = [
    "database core web",
    "web.app quota errors logs web.middleware database.dialects",
    "database.models core.gateway_options",
    "database.connection database.dialects.mysqlclient",
    "database.dialects.postgresql web.rate_limit parsing",
    "database.queries web.schemas database.schema core.recording",
    "core.service",
    "core.accounts web.auth web.metrics core.daily_costs",
    "core.diagnostics core.credit_grants web.query_params",
    "web.views web.health web.openapi web.panel cli.common",
    "cli.check cli.database cli.tokens cli.usage cli.usage_report cli.users",
    "cli",
    "",
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split(" ")}

SOURCES = sorted(ROOT.joinpath("billing").rglob("*.py"))
START_UP = [ROOT / "config.py", ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"]


def module(path: Path) -> str:
    """The module's name below `billing`; '' is the package itself."""
    parts = path.relative_to(ROOT / "billing").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module(path): path for path in SOURCES}


def for_types_alone(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only the type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if not for_types_alone(child):
            yield child
            yield from nodes(child)


def imports(path: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    found = set()
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            for alias in node.names:
                assert alias.name != "*", f"{path}: no star imports"
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("billing.") in MODULES
                found.add(whole if is_module else node.module)
    return found


def test_every_module_has_a_floor() -> None:
    assert set(FLOOR) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downwards_only(name: str) -> None:
    ours = {found for found in imports(MODULES[name]) if found.split(".")[0] == "billing"}
    siblings = {found.removeprefix("billing").removeprefix(".") for found in ours}

    upwards = {sibling for sibling in siblings if FLOOR[sibling] >= FLOOR[name]}

    assert upwards == set()


def test_only_create_app_gets_the_settings_from_config() -> None:
    users = {name for name, path in MODULES.items() if "config" in imports(path)}

    assert users == {""}


def test_nothing_knows_which_server_runs_it() -> None:
    users = {
        name
        for name, path in MODULES.items()
        if any(found.split(".")[0] == "gunicorn" for found in imports(path))
    }

    assert users == set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_stand_at_the_top(name: str) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.FunctionDef) and (name, node.name) != ("", "create_app")
    )

    inside = [
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert inside == []


#: A request has an `environ` as well, which is nobody's settings.
ENVIRONMENT = {f"os.{name}" for name in ("environ", "environb", "getenv", "getenvb")} | {
    *("environ", "environb", "getenv", "getenvb")
}


def test_only_config_reads_the_environment() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in [*SOURCES, *START_UP]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.alias) and ast.unparse(node) in ENVIRONMENT
    }

    assert readers == {"config.py"}


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *START_UP, *sorted(ROOT.joinpath("tests").rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_module_opens_with_a_sentence(path: Path) -> None:
    opening = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert opening.partition("\n\n")[0].endswith(".")


#: The routes that anybody may read; of the page's files, one stands for all.
OPEN = {
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/dashboard/billing/",
    "/v1/dashboard/billing/",
    "/dashboard/billing/panel/panel.js",
    "/v1/dashboard/billing/panel/panel.js",
}


def test_every_route_but_the_named_ones_needs_a_token(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client()
    rules = {rule.rule for rule in sqlite_billing.app.url_map.iter_rules()}
    routes = {rule.replace("<path:filename>", "panel.js") for rule in rules}

    statuses = {route: client.get(route, buffered=True).status_code for route in routes}

    assert {route for route, status in statuses.items() if status != 401} == OPEN
    assert {statuses[route] for route in OPEN} == {200}
    assert routes == OPEN | {
        "/dashboard/billing/subscription",
        "/dashboard/billing/usage",
        "/v1/dashboard/billing/subscription",
        "/v1/dashboard/billing/usage",
        "/dashboard/billing/credit_grants",
        "/v1/dashboard/billing/credit_grants",
        "/v1/organization/costs",
    }
