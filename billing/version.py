"""The service's version, which pyproject.toml alone states."""

import tomllib
from importlib.metadata import version
from pathlib import Path

# The file comes first: a checkout runs without installation, maybe beside another "billing".
_PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
VERSION: str = (
    tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]["version"]
    if _PYPROJECT.exists()
    else version("billing")
)
