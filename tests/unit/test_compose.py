"""The samples in deploy/compose/ against Compose's own schema, and what each of them must have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from config import variables as settings
from tests.support.compose import FILES, file_of, mounts, services, text_of, variables
from tests.support.processes import ROOT

SCHEMA = Path(ROOT / "tests" / "support" / "compose-spec" / "compose-spec.json")

each_file = pytest.mark.parametrize("file", FILES)


class Any(dict[str, str]):
    """A value for every variable of .env."""

    def __missing__(self, name: str) -> str:
        return "value"

    def __contains__(self, name: object) -> bool:
        return True


def test_there_is_a_sample_for_each_way() -> None:
    assert FILES == ["embedded-mysql.yml", "newapi-mysql.yml", "newapi-sqlite.yml"]


@each_file
def test_a_sample_is_what_compose_takes(file: str) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))

    errors = jsonschema_rs.validator_for(schema).iter_errors(yaml.safe_load(text_of(file)))

    assert [error.message for error in errors] == []


@each_file
def test_the_service_sets_variables_that_it_has_and_trusts_one_proxy(file: str) -> None:
    environment = services(file, Any())["billing"]["environment"]

    assert set(environment) <= {field.name.upper() for field in settings()}
    assert environment["TRUSTED_PROXY_HOPS"] == "1"


@each_file
def test_the_service_has_no_more_rights_than_it_needs(file: str) -> None:
    billing = services(file, Any())["billing"]

    assert billing["read_only"] is True
    assert billing["cap_drop"] == ["ALL"]
    assert billing["security_opt"] == ["no-new-privileges:true"]
    # gunicorn gives requests under way 30 s.
    assert billing["stop_grace_period"] == "40s"
    assert [text for text in billing.get("volumes", []) if not text.endswith(":ro")] == []


@each_file
def test_only_the_proxy_is_reached_from_outside(file: str) -> None:
    reached = {name for name, service in services(file, Any()).items() if "ports" in service}

    assert reached == {"proxy"}


@each_file
def test_files_that_are_mounted_or_built_from_are_there(file: str) -> None:
    there = services(file, Any())
    mounted = [source for service in there.values() for source in mounts(service).values()]

    files = [file_of(source) for source in mounted if source.startswith(".")]

    assert files
    assert [path for path in files if not path.is_file()] == []
    assert (file_of(there["billing"]["build"]) / "Dockerfile").is_file()


@each_file
def test_no_password_has_a_default_and_each_is_documented(file: str) -> None:
    page = (ROOT / "docs" / "docker.md").read_text("utf-8")
    (row,) = re.findall(rf"(?m)^\| `{file}` \|.*$", page)

    for name, default in variables(file).items():
        assert (default is None) == name.endswith("PASSWORD")
        assert f"`{name}`" in row
