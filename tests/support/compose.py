"""The samples in deploy/compose/, read as Compose reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.processes import ROOT

FOLDER = ROOT / "deploy" / "compose"
FILES = sorted(path.name for path in FOLDER.glob("*.yml"))

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\})")


def text_of(file: str) -> str:
    return (FOLDER / file).read_text("utf-8")


def variables(file: str) -> dict[str, str | None]:
    """The variables that a file takes from .env, and their defaults; None for none."""
    return {
        found["name"]: found["text"] if found["kind"] == "-" else None
        for found in _VARIABLE.finditer(text_of(file))
        if found["name"]
    }


def services(file: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The services of a file, with `values` for what it takes from .env."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: _fill(found, values), value)
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        return value

    return dict(filled(yaml.safe_load(text_of(file))["services"]))


def _fill(found: re.Match[str], values: Mapping[str, str]) -> str:
    if not found["name"]:
        return "$"
    if found["name"] not in values and found["kind"] == "-":
        return found["text"]
    return values[found["name"]]


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """What a service mounts, by where."""
    return {text.split(":")[1]: text.split(":")[0] for text in service.get("volumes", [])}


def file_of(source: str) -> Path:
    """A mounted file of the repository."""
    return (FOLDER / source).resolve()
