"""What callers see while a SQLite file is locked, unreadable, corrupt or half-written."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.background_load import RIGHT, TIMEOUT, BackgroundLoad
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.processes import program
from tests.support.secrets import remember
from tests.support.servers import under_threads_too
from tests.support.site import SUBSCRIPTION, USAGE, prepared

Start = Callable[..., Gunicorn]


@under_threads_too
@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_file_that_a_gateway_locks_is_503_in_time_until_it_is_free(
    newapi: Gateway, gunicorn: Start
) -> None:
    server = gunicorn(attached(newapi))

    with BackgroundLoad(server.url, KEY, RIGHT) as drill:
        newapi.execute("BEGIN EXCLUSIVE")
        drill.until(503, 5)
        newapi.execute("COMMIT")
        drill.recovered()

    drill.check(503)


def test_a_file_that_may_not_be_read_is_503_until_it_may(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path
) -> None:
    key, file = prepared(sqlite_billing), tmp_path / "billing.db"
    sqlite_billing.close()
    # Even root's word does not open files for this server.
    mortal = [program("setpriv"), "--bounding-set=-dac_override,-dac_read_search"]
    server = gunicorn({**sqlite_billing.env, **TIMEOUT}, wrapper=mortal if _is_root() else [])

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        file.chmod(0)
        # A worker that has it open reads on, rightly; a new one cannot.
        drill.until(200, 10)
        os.kill(server.workers()[0], signal.SIGKILL)
        drill.until(503, 10)
        file.chmod(0o600)
        drill.recovered()

    drill.check(503, lost=True)


def attached(newapi: Gateway) -> dict[str, str]:
    """The settings of a service of a gateway whose token KEY has drill.RIGHT's figures."""
    newapi.user()
    newapi.token(remain_quota=37_500_000, used_quota=12_500_000)
    remember({"key": KEY})
    return {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url, **TIMEOUT}


def _is_root() -> bool:
    return os.geteuid() == 0


def _spoil(path: Path, start: int) -> None:
    """Overwrite all from `start` on."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * (path.stat().st_size - start))


@under_threads_too
@pytest.mark.parametrize("start", [0, 4096])
def test_a_corrupt_file_is_500_until_a_good_one_is_put_back(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path, start: int
) -> None:
    key, file = prepared(sqlite_billing), tmp_path / "billing.db"
    sqlite_billing.run("backup", str(tmp_path / "good.db"))
    sqlite_billing.close()
    shutil.copy(tmp_path / "good.db", tmp_path / "bad.db")
    _spoil(tmp_path / "bad.db", start)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        os.replace(tmp_path / "bad.db", file)
        drill.until(500, 10)
        os.replace(tmp_path / "good.db", file)
        drill.recovered()

    drill.check(500, 503)


def test_a_file_that_is_overwritten_in_place_gives_no_wrong_figure(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path
) -> None:
    key, file = prepared(sqlite_billing), tmp_path / "billing.db"
    sqlite_billing.run("backup", str(tmp_path / "good.db"))
    sqlite_billing.close()
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        _spoil(file, 0)
        os.kill(server.workers()[0], signal.SIGKILL)
        drill.until(500, 10)
        for side in ("-wal", "-shm"):
            Path(f"{file}{side}").unlink(missing_ok=True)
        os.replace(tmp_path / "good.db", file)
        drill.recovered()

    drill.check(500, 503, lost=True)


#: Dies in the midst of a transaction of which a part is in the file already.
DIE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE tokens SET remain_quota = 0, used_quota = 0")
connection.execute("CREATE TABLE ballast AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL"
                   " SELECT i + 1 FROM n WHERE i < 2000) SELECT i, randomblob(1000) FROM n")
connection.execute("UPDATE tokens SET remain_quota = 1")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_half_written_transaction_of_a_gateway_is_never_shown(
    newapi: Gateway, gunicorn: Start, tmp_path: Path
) -> None:
    env, file = attached(newapi), tmp_path / "one-api.db"
    newapi.connection.close()
    server = gunicorn(env)

    with BackgroundLoad(server.url, KEY, RIGHT) as drill:
        subprocess.run([sys.executable, "-c", DIE, str(file)], check=False)
        assert Path(f"{file}-journal").stat().st_size > 0
        drill.until(503, 10)
        # The gateway is back, and rolls back.
        with closing(sqlite3.connect(file)) as gateway:
            gateway.execute("SELECT count(*) FROM tokens").close()
        assert not Path(f"{file}-journal").exists()
        drill.recovered()

    drill.check(503)


def test_a_record_that_is_being_written_keeps_nobody_waiting(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})

    writer = sqlite3.connect(tmp_path / "billing.db", isolation_level=None)
    with closing(writer), BackgroundLoad(server.url, key, RIGHT) as drill:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE tokens SET used_quota = 0")
        drill.until(200, 20)
        writer.execute("ROLLBACK")

    drill.check()


def test_the_paths_of_the_drills_are_those_of_the_contract() -> None:
    assert list(RIGHT) == [SUBSCRIPTION, USAGE]
