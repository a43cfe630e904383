"""Starts what is measured, asks it with wrk, and reads what its workers cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.fill import PREFIX
from tests.support.http_client import ask
from tests.support.processes import ROOT, environment, free_port, program, wait_for

KEYS = Path(__file__).with_name("keys.lua")
CONNECTIONS = 16
_TICKS = os.sysconf("SC_CLK_TCK")

SYNC = ["gunicorn", "--config=bench/bare_gunicorn.py"]
GTHREAD = [*SYNC, "--worker-class=gthread", "--threads=4", "--keep-alive=60"]
GRANIAN = ["granian", "--interface=wsgi", "--blocking-threads=1", "--log-level=warning"]


class Failed(RuntimeError):
    """A request was refused or lost: the figures would mean nothing."""


class Server(NamedTuple):
    """A running server; wrk asks it, or nginx in front of it, at `url`."""

    url: str
    pid: int

    def processes(self) -> list[int]:
        """The server's process and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]

    def cpu(self) -> float:
        """Seconds of processor time that the processes have used."""
        spent = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            spent += int(fields[11]) + int(fields[12])
        return spent / _TICKS


class Target(NamedTuple):
    """What wrk asks for, and of whom; `known` keys, or as many that are not in the table."""

    name: str
    server: Server
    path: str
    tokens: int
    known: bool = True


class Run(NamedTuple):
    """One short run: requests a second, their p99 in milliseconds, CPU microseconds of each."""

    rate: float
    p99: float
    cpu: float


@contextmanager
def started(command: list[str], app: str, workers: int, folder: Path, **env: str) -> Iterator[Any]:
    """A server of `app` on loopback, or on a unix socket in `folder` when nginx is in front."""
    port, log = free_port(), folder / f"{app.replace(':', '-')}-{free_port()}.log"
    url = f"http://127.0.0.1:{port}"
    if command[0] == "granian":
        place = ["--host=127.0.0.1", f"--port={port}", f"--workers={workers}"]
    elif "SOCKET" in env:
        url = f"unix:{env['SOCKET']}"
        place = [f"--bind={url}", f"--workers={workers}"]
    else:
        place = [f"--bind=127.0.0.1:{port}", f"--workers={workers}"]
    binary = str(Path(sys.executable).with_name(command[0]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, *command[1:], *place, app],
            cwd=ROOT,
            env=environment(env),
            stdout=output,
            stderr=output,
        )
    server = Server(url, process.pid)
    try:
        wait_for(lambda: ask(url, "/healthz").status == 200, f"{command[0]} {app} ({log})")
        wait_for(lambda: len(server.processes()) > workers, "the workers")
        yield server
    finally:
        process.terminate()
        process.wait(60)


def run(target: Target, seconds: int) -> Run:
    """Ask for a while. Raises Failed at a single answer that is not the expected one."""
    before = target.server.cpu()
    printed = subprocess.run(
        [
            *(program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(KEYS)),
            *(target.server.url, "--", PREFIX if target.known else "unknown"),
            *(str(target.tokens), target.path),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    counted = json.loads(printed.strip().splitlines()[-1])
    spent = target.server.cpu() - before
    refused = 0 if target.known else counted["requests"]
    if counted["refused"] != refused or counted["broken"] or not counted["requests"]:
        raise Failed(f"{target.name}: {counted}")
    return Run(
        counted["requests"] / counted["microseconds"] * 1e6,
        counted["p99"] / 1000,
        spent / counted["requests"] * 1e6,
    )
