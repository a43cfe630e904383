"""pyproject.toml states the version, and everything that shows one shows that."""

from __future__ import annotations

import tomllib

from billing.version import VERSION
from tests.support.application import Billing
from tests.support.processes import ROOT


def test_the_version_of_pyproject_is_shown_everywhere(sqlite_billing: Billing) -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    client = sqlite_billing.client(METRICS="true")

    shown = sqlite_billing.json("version")["billing"]
    described = client.get("/openapi.json").get_json()["info"]["version"]
    metrics = client.get("/metrics").text

    assert stated == VERSION == shown == described
    assert f'version="{stated}"' in metrics
