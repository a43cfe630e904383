"""What all servers that the tests start need: programs, free ports, waiting, variables."""

from __future__ import annotations

import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pymysql
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What tests/install-servers unpacks.
CACHE = Path("/var/cache/billing-tests")


#: What `SELECT VERSION()` said on each server that ran.
VERSIONS: set[str] = set()


IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


def free_port() -> int:
    """A free port below the ephemeral range, where no outgoing connection can take it."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(ready: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Poll until `ready` returns something true without an OSError or a driver's error."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, pymysql.MySQLError, psycopg.Error):
            if ready():
                return
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come up within {seconds} s")


def program(name: str) -> str:
    """Where a server's program is; without it the test is skipped, or fails in CI."""
    debian = ["/usr/sbin", "/usr/local/sbin", *glob.glob("/usr/lib/postgresql/*/bin")]
    path = shutil.which(name) or shutil.which(name, path=":".join([*debian, f"{CACHE}/tools"]))
    if path is None:
        missing(f"{name} is not installed (make test installs it on Debian as root)")
    return path


def missing(reason: str) -> NoReturn:
    """End the test, which cannot run here: a visible skip, or a failure in CI."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def freeze(pid: int) -> None:
    """Stop a process, and return when the last of its threads has stopped; SIGCONT wakes it."""
    os.kill(pid, signal.SIGSTOP)

    def stopped() -> bool:
        threads = Path(f"/proc/{pid}/task").glob("*/stat")
        return {path.read_text().rpartition(")")[2].split()[0] for path in threads} == {"T"}

    wait_for(stopped, "the stop of a process", 5)


def environment(env: dict[str, str]) -> dict[str, str]:
    """The variables of a subprocess: nothing of the tester's settings leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    folder = str(Path(sys.executable).parent)
    path = {"PATH": f"{folder}:{kept.get('PATH', '')}"}
    # Its default is beside the code.
    return {**kept, **path, "PYTHONUTF8": "1", "USAGE_CACHE": "off", **env}


def flask(env: dict[str, str], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `flask …` as an operator does."""
    ended: subprocess.CompletedProcess[str] = subprocess.run(
        [str(Path(sys.executable).with_name("flask")), *arguments],
        cwd=ROOT,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )
    return ended
