"""nginx with deploy/nginx.conf, in front of the service."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.http_client import ask
from tests.support.processes import ROOT, free_port, program, wait_for
from tests.support.secrets import SERVER_LOGS


class Nginx:
    """nginx with deploy/nginx.conf on a free port, in front of the unix socket `upstream`.

    `changes` are more replacements in that file, old text to new; `gateway` is the address that
    gets what is not ours.
    """

    def __init__(
        self, folder: Path, upstream: Path, changes: Mapping[str, str], gateway: str = ""
    ) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"
        config = (ROOT / "deploy" / "nginx.conf").read_text()
        for old, new in {
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "/run/billing/gunicorn.sock": str(upstream),
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            **(
                {"127.0.0.1:3000": gateway}
                if gateway
                else {"proxy_pass http://gateway;": "return 404;"}
            ),
            "http {": f"http {{\n{self._temporary()}",
            **changes,
        }.items():
            assert old in config, f"deploy/nginx.conf has no {old!r}"
            config = config.replace(old, new)
        (folder / "nginx.conf").write_text(config)
        SERVER_LOGS.append(folder)
        self.process = subprocess.Popen(
            [
                program("nginx"),
                *("-e", f"{folder}/error.log"),
                *("-c", f"{folder}/nginx.conf"),
                *("-g", "daemon off;"),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: self.process.poll() or ask(self.url, "/"), "nginx")
            if self.process.poll():
                raise TimeoutError
        except TimeoutError:
            self.close()
            raise AssertionError(self.log) from None

    def _temporary(self) -> str:
        """Only root may use the folders that nginx was built with."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)

    @property
    def log(self) -> str:
        """All that it logged, of starts, errors and requests."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
