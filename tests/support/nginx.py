"""nginx with deploy/nginx.conf, in front of the service, and the proxies in front of that."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.support.processes import ROOT, program
from tests.support.proxy import ProxyServer, sample

#: The loopback address that `OuterProxy` connects from: no client's.
PROXY_ADDRESS = "127.0.0.9"


def behind(case: str) -> dict[str, str]:
    """The change to deploy/nginx.conf that switches on its lines for a proxy in front."""
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    found = re.search(rf"    # {case} \(.*\n((?:    # \w+ .*;.*\n)+)", config)
    assert found, f"deploy/nginx.conf has no lines for {case}"
    switched_on = found[1].replace("    # ", "    ")
    return {found[1]: f"{switched_on}    set_real_ip_from {PROXY_ADDRESS};\n"}


class NginxServer(ProxyServer):
    """nginx with its files in `folder`."""

    def start(self, config: str) -> None:
        (self.folder / "nginx.conf").write_text(config)
        self.run(
            [
                program("nginx"),
                *("-e", f"{self.folder}/error.log"),
                *("-c", f"{self.folder}/nginx.conf"),
                *("-g", "daemon off;"),
            ]
        )

    #: Its worker processes' user: the tests' folders may be root's alone.
    USER = "user root;" if os.geteuid() == 0 else ""

    def temporary(self) -> str:
        """Only root may use the folders that nginx was built with."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)


class OuterProxy(NginxServer):
    """A proxy in front of `inner`, which adds `headers` (directives) to each request."""

    def __init__(self, folder: Path, inner: NginxServer, headers: str) -> None:
        super().__init__(folder)
        self.start(
            f"{self.USER} pid {folder}/nginx.pid; events {{ }}\n"
            f"http {{ access_log off; {self.temporary()}"
            f"server {{ listen 127.0.0.1:{self.port}; {headers}\n"
            f"location / {{ proxy_bind {PROXY_ADDRESS}; proxy_pass {inner.url}; }} }} }}\n"
        )


class Nginx(NginxServer):
    """nginx with deploy/nginx.conf on a free port, in front of the unix socket `upstream`.

    `changes` are more replacements in that file, old text to new; `gateway` is the address that
    gets what is not ours.
    """

    #: The change after which it waits for the service no longer than 0.3 s.
    HURRIED: ClassVar = {"proxy_read_timeout 10s;": "proxy_read_timeout 300ms;"}
    #: The change after which new-api's own path is the gateway's.
    LEAVES_TOKEN_USAGE: ClassVar = {r"|api/usage/token/?$": ""}

    def __init__(
        self, folder: Path, upstream: Path, changes: Mapping[str, str], gateway: str = ""
    ) -> None:
        super().__init__(folder)
        local = {
            "user www-data;": self.USER,
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "/run/billing/gunicorn.sock": str(upstream),
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            **(
                {"127.0.0.1:3000": gateway}
                if gateway
                else {"proxy_pass http://gateway;": "return 404;"}
            ),
            "http {": f"http {{\n{self.temporary()}",
        }
        self.start(sample("nginx.conf", {**local, **changes}))
