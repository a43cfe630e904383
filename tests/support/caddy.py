"""Caddy with deploy/Caddyfile, in front of the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.support.processes import environment, program
from tests.support.proxy import ProxyServer, sample


class CaddyServer(ProxyServer):
    """Caddy with its files in `folder`."""

    def start(self, config: str, variables: Mapping[str, str]) -> None:
        (self.folder / "Caddyfile").write_text(config)
        # It keeps certificates and its last settings in its home.
        env = environment({**variables, "HOME": str(self.folder)})
        self.run([program("caddy"), "run", "--config", f"{self.folder}/Caddyfile"], env)


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
        local = {"{\n\t#": "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\t#"}
        config = sample("Caddyfile", {**local, **changes})
        variables = {
            "SITE": f":{self.port}",
            "LOGS": str(folder),
            "BILLING": f"unix/{upstream}" if isinstance(upstream, Path) else upstream,
            **({"GATEWAY": gateway} if gateway else {"ALL_ELSE": "nothing"}),
        }
        self.start(config, variables)
