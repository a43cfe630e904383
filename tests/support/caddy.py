"""Caddy with deploy/Caddyfile, in front of the service."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.support.http_client import ask
from tests.support.processes import ROOT, environment, free_port, program, wait_for
from tests.support.secrets import SERVER_LOGS


class CaddyServer:
    """Caddy with its files in `folder`, on the free port `port`."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, config: str, variables: Mapping[str, str]) -> None:
        (self.folder / "Caddyfile").write_text(config)
        SERVER_LOGS.append(self.folder)
        with (self.folder / "start.log").open("wb") as log:
            self.process = subprocess.Popen(
                [program("caddy"), "run", "--config", f"{self.folder}/Caddyfile"],
                # It keeps certificates and its last settings in its home.
                env=environment({**variables, "HOME": str(self.folder)}),
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(lambda: self.process.poll() or ask(self.url, "/"), "Caddy")
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


class Caddy(CaddyServer):
    """Caddy with deploy/Caddyfile on a free port, in front of a unix socket or of a host:port.

    `changes` are more replacements in that file, old text to new; `gateway` is the address that
    gets what is not ours.
    """

    #: The change after which it waits for the service no longer than 0.3 s.
    HURRIED: ClassVar = {"response_header_timeout 10s": "response_header_timeout 300ms"}
    #: The change after which new-api's own path is the gateway's.
    LEAVES_TOKEN_USAGE: ClassVar = {r"|api/usage/token/?$)": ")"}

    def __init__(
        self,
        folder: Path,
        upstream: Path | str,
        changes: Mapping[str, str],
        gateway: str = "",
    ) -> None:
        super().__init__(folder)
        config = (ROOT / "deploy" / "Caddyfile").read_text()
        for old, new in {
            "{\n\t#": "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\t#",
            **changes,
        }.items():
            assert old in config, f"deploy/Caddyfile has no {old!r}"
            config = config.replace(old, new)
        variables = {
            "SITE": f":{self.port}",
            "LOGS": str(folder),
            "BILLING": f"unix/{upstream}" if isinstance(upstream, Path) else upstream,
            **({"GATEWAY": gateway} if gateway else {"ALL_ELSE": "nothing"}),
        }
        self.start(config, variables)
