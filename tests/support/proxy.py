"""A proxy that a test starts, and the samples in deploy/ that it runs with."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.http_client import ask
from tests.support.processes import ROOT, free_port, wait_for
from tests.support.secrets import SERVER_LOGS


def sample(name: str, changes: Mapping[str, str]) -> str:
    """The file of that name in deploy/, with `changes`: old text, which must be there, to new."""
    text = (ROOT / "deploy" / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} has no {old!r}"
        text = text.replace(old, new)
    return text


class ProxyServer:
    """A proxy with its files and logs in `folder`, on the free port `port`."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start the command, and wait until it answers."""
        SERVER_LOGS.append(self.folder)
        with (self.folder / "start.log").open("wb") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.process.poll() or ask(self.url, "/"), type(self).__name__)
            if self.process.poll():
                raise TimeoutError
        except TimeoutError:
            self.close()
            raise AssertionError(self.log) from None

    @property
    def log(self) -> str:
        """All that it logged, of starts, errors and requests."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
