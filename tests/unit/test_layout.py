"""The layout: who imports whom, who reads the environment, which routes are open to anyone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.processes import ROOT

#: A package may import those on its right, and every package the root modules (ROOT_MODULES).
LAYERS = {"web": {"core", "database"}, "cli": {"core", "database"}, "core": {"database"}}
ROOT_MODULES = {"errors", "quota", "parsing", "logs", "version"}

#: Modules that only one setting loads may be imported by these functions.
LAZY_IMPORTS = {"": {"create_app"}, "database.dialects": {"dialect_for"}}

SOURCES = sorted(ROOT.joinpath("billing").rglob("*.py"))
START_UP = [
    ROOT / name for name in ("config.py", "wsgi.py", "gunicorn.conf.py", "gunicorn_worker.py")
]


def module(path: Path) -> str:
    """The module's name below `billing`; '' is the package itself."""
    parts = path.relative_to(ROOT / "billing").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module(path): path for path in SOURCES}


def is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only the type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if not is_for_types(child):
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


#: What each module of `billing` imports of `billing`; '' is the package itself.
ARROWS = {
    name: {
        found.removeprefix("billing").removeprefix(".")
        for found in imports(path)
        if found.split(".")[0] == "billing"
    }
    for name, path in MODULES.items()
}


def package(name: str) -> str:
    """The package of a module; '' for the root modules and `create_app`."""
    return name.partition(".")[0] if name.partition(".")[0] in {*LAYERS, "database"} else ""


def test_the_packages_are_the_documented_ones() -> None:
    assert {name for name in MODULES if not package(name)} == {"", *ROOT_MODULES}


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_a_package_imports_only_those_below_it(name: str) -> None:
    own = package(name)
    allowed = {own, *LAYERS.get(own, set())} if own else set()

    upward = {
        other for other in ARROWS[name] if package(other) not in allowed | {""} or other == ""
    }

    assert upward == set()


def test_no_import_leads_back_to_its_module() -> None:
    def reached(name: str, seen: set[str]) -> set[str]:
        for other in ARROWS[name] - seen:
            seen.add(other)
            reached(other, seen)
        return seen

    assert [name for name in MODULES if name in reached(name, set())] == []


def test_only_create_app_gets_the_settings_from_config() -> None:
    users = {name for name, path in MODULES.items() if "config" in imports(path)}

    assert users == {""}


@pytest.mark.parametrize(
    ("packages", "libraries"),
    [
        ({"database", "core", "web", "cli", ""}, {"gunicorn", "granian"}),
        ({"database"}, {"flask", "werkzeug", "click", "marshmallow"}),
        ({"core"}, {"werkzeug", "click"}),
    ],
)
def test_a_package_knows_nothing_of_what_is_above_it(
    packages: set[str], libraries: set[str]
) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if package(name) in packages
        and libraries.intersection(found.split(".")[0] for found in imports(path))
    }

    assert users == set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_stand_at_the_top(name: str) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.FunctionDef) and node.name not in LAZY_IMPORTS.get(name, set())
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


#: The first paragraph of every module.
OPENINGS = {
    path.relative_to(ROOT).as_posix(): (
        ast.get_docstring(ast.parse(path.read_text())) or ""
    ).partition("\n\n")[0]
    for path in [
        *SOURCES,
        *START_UP,
        *(path for name in ("tests", "bench", "soak") for path in (ROOT / name).rglob("*.py")),
    ]
}


@pytest.mark.parametrize("path", OPENINGS)
def test_every_module_opens_with_a_sentence(path: str) -> None:
    opening = OPENINGS[path]

    assert re.fullmatch(r"\S+( \S+){2,}\.", opening), "one line of three words or more"
    # Any other sentence than this would do for a module that has the sentence of another.
    assert [other for other, text in OPENINGS.items() if text == opening] == [path]


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
        "/api/usage/token",
        "/v1/organization/usage/completions",
    }
