"""A backup that is restored while real workers answer from the file that it replaces."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.background_load import RIGHT, TIMEOUT
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import Answer, ask, bearer
from tests.support.processes import flask
from tests.support.site import SUBSCRIPTION, prepared

#: When all workers must show the restored figures, in seconds.
IN_TIME = 2.0


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("way", ["cp", "mv", "rsync --inplace", "flask restore"])
def test_workers_end_in_the_restored_figures_and_commands_go_on(
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
    way: str,
    threads: str,
) -> None:
    key, file, copy = prepared(sqlite_billing), tmp_path / "billing.db", tmp_path / "copy.db"
    sqlite_billing.run("backup", str(copy))
    server = gunicorn({**sqlite_billing.env, **TIMEOUT}, f"--threads={threads}")

    def read() -> Answer:
        return ask(server.url, SUBSCRIPTION, bearer(key))

    assert {read().body for _ in range(20)} == {RIGHT[SUBSCRIPTION]}
    sqlite_billing.run("token", "credit", "1", "--usd", "200")
    assert {read().json["hard_limit_usd"] for _ in range(20)} == {300}
    sqlite_billing.close()

    if way == "flask restore":
        ended = flask(sqlite_billing.env, "restore", str(copy))
        assert (ended.returncode, ended.stderr) == (0, "")
    elif way == "rsync --inplace":
        with file.open("r+b") as opened:
            opened.write(copy.read_bytes())
    else:
        subprocess.run([f"/bin/{way}", str(copy), str(file)], check=True)
    restored = time.monotonic()
    seen = []
    while time.monotonic() < restored + IN_TIME:
        seen.append(read())
    after = [read() for _ in range(50)]
    credited = flask(sqlite_billing.env, "token", "credit", "1", "--usd", "7")
    at_last = [read() for _ in range(50)]

    assert {answer.status for answer in seen} <= {200, 500, 503}
    assert {answer.body for answer in after} == {RIGHT[SUBSCRIPTION]}
    if credited.returncode == 0:
        assert {answer.json["hard_limit_usd"] for answer in at_last} == {107}
    else:
        # A thread that nobody has asked since still has the old file open.
        assert "connections opened before the file was overwritten still hold it" in credited.stderr
        assert (way in ("cp", "rsync --inplace"), threads) == (True, "4")
        assert {answer.body for answer in at_last} == {RIGHT[SUBSCRIPTION]}
