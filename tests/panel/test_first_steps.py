"""README.md and docs/attach.md, followed to the letter in a fresh copy of the repository."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.panel.conftest import Panel
from tests.support.caddy import CaddyServer
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.http_client import ask, bearer
from tests.support.nginx import NginxServer
from tests.support.processes import ROOT, VERSIONS, environment, free_port, missing, wait_for
from tests.support.site import SUBSCRIPTION

README, ATTACH = ((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/attach.md"))

#: What pip needs to know of the machine's network.
NETWORK = {
    name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "https_"))
}


def one(pattern: str, text: str) -> str:
    """The one match of a pattern in a page."""
    (found,) = re.findall(pattern, text, re.M | re.S)
    return str(found)


def dedented(block: str) -> str:
    return re.sub(r"(?m)^ {3}", "", block)


#: What the pages say, in their order.
RUN = one(r"^## Run it\n\n    (.*?)\n", README)
ASK = one(r"^    \$ (curl [^\n]*/subscription)\n", README)
INSTALL = one(r"^0\. In this folder: `(.*?)`", ATTACH)
NAME_DATABASE = dedented(one(r"^   ```sh\n(   export BILLING_MODE=.*?)^   ```$", ATTACH))
CHECK = one(r"^3\. Run `(.*?)`", ATTACH)
SERVE = dedented(one(r"^   ```sh\n(   export TRUSTED_PROXY_HOPS=.*?)^   ```$", ATTACH))
LOCATION = dedented(one(r"^   ```nginx\n(.*?)^   ```$", ATTACH))
HANDLE = dedented(one(r"^   ```caddyfile\n(.*?)^   ```$", ATTACH))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would check out of the files as they are now."""
    folder = tmp_path_factory.mktemp("first-steps") / "billing"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        missing("the folder is no checkout of git")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@contextmanager
def shell(script: str, folder: Path, log: Path, **env: str) -> Iterator[int]:
    """Run what an operator types in `folder` until it serves; yields the port."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-ec", script],
            cwd=folder,
            # Without this suite's environment, whose programs would be found first.
            env={**environment({**NETWORK, **env}), "PATH": os.environ["PATH"], "PORT": str(port)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def serves() -> bool:
        assert process.poll() is None, log.read_text()
        return ask(f"http://127.0.0.1:{port}", "/readyz").status == 200

    try:
        wait_for(serves, "the service", 400)
        yield port
    finally:
        # The shell, make and gunicorn, all of them started here.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def curl(command: str, port: int, **env: str) -> str:
    """What a curl of the pages answers, asked of `port`."""
    ended = subprocess.run(
        ["bash", "-ec", command.replace("127.0.0.1:8000", f"127.0.0.1:{port}")],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.stdout


def test_make_run_serves_and_its_key_reads_and_shows(
    clone: Path, tmp_path: Path, panel: Callable[..., Panel]
) -> None:
    began = time.monotonic()
    with shell(RUN, clone, tmp_path / "first") as port:
        VERSIONS.add(f"README.md's first step, in {time.monotonic() - began:.0f} s")
        printed = (tmp_path / "first").read_text()
        (key,) = re.findall(r"(?m)^key +(sk-\w{48})$", printed)
        (pasted,) = re.findall(r"(?m)^curl .*$", printed)
        answers = [curl(pasted, port), curl(ASK, port, KEY=key)]
        screen = panel(f"http://127.0.0.1:{port}").open().ask(key)
        screen.shows("#results", "$100.00")
    with shell(RUN, clone, tmp_path / "second") as port:
        again = curl(ASK, port, KEY=key)

    assert '"hard_limit_usd":100.0' in answers[0]
    assert answers == [again, again]
    assert "sk-" not in (tmp_path / "second").read_text()


@pytest.fixture
def newapi_file(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """new-api's SQLite file with a token that has used something."""
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.token(gateway.user())
        gateway.insert("logs", id=1, user_id=1, type=2, created_at=1, quota=400)
        yield gateway


def through_nginx(folder: Path, port: int) -> NginxServer:
    """A gateway's nginx with the page's lines in its server { }; 404 stands for the gateway."""
    server = NginxServer(folder)
    server.start(
        f"{server.USER} pid {folder}/nginx.pid; events {{ }}\n"
        f"http {{ access_log off; {server.temporary()}"
        f"server {{ listen 127.0.0.1:{server.port}; location / {{ return 404; }}\n"
        f"{LOCATION.replace('127.0.0.1:8000', f'127.0.0.1:{port}')} }} }}\n"
    )
    return server


def through_caddy(folder: Path, port: int) -> CaddyServer:
    """A gateway's Caddy with the page's lines in its site."""
    server = CaddyServer(folder)
    server.start(
        f"{{\n admin off\n default_bind 127.0.0.1\n}}\n:{server.port} {{\n"
        f"{HANDLE.replace('127.0.0.1:8000', f'127.0.0.1:{port}')}handle {{\n error 404\n}}\n}}\n",
        {},
    )
    return server


def test_the_five_steps_attach_it_behind_nginx_and_behind_caddy(
    clone: Path, tmp_path: Path, newapi_file: Gateway, panel: Callable[..., Panel]
) -> None:
    named = NAME_DATABASE.replace("/srv/new-api/data/one-api.db", str(tmp_path / "one-api.db"))
    assert named != NAME_DATABASE
    script = "\n".join([INSTALL, named, CHECK, SERVE])
    (tmp_path / "nginx").mkdir()
    (tmp_path / "caddy").mkdir()

    with shell(script, clone, tmp_path / "log") as port:
        nginx = through_nginx(tmp_path / "nginx", port)
        caddy = through_caddy(tmp_path / "caddy", port)
        try:
            answers = [
                ask(proxy.url, SUBSCRIPTION, bearer(f"sk-{KEY}")).json["hard_limit_usd"]
                for proxy in (nginx, caddy)
            ]
            others = [ask(proxy.url, "/v1/models").status for proxy in (nginx, caddy)]
            for proxy in (nginx, caddy):
                panel(proxy.url).open().ask(f"sk-{KEY}").shows("#results", "$0.00")
        finally:
            nginx.close()
            caddy.close()

    assert answers == [1000 / 500_000] * 2
    assert others == [404, 404]
    assert re.search(r"(?m)^gateway +new-api", (tmp_path / "log").read_text())


def test_the_readme_says_the_same_as_the_page() -> None:
    block = dedented(one(r"^## Attach it to a gateway\n\n(.*?)\n\n    location", README))
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]

    said = [word for line in lines for word in line]

    for step in (INSTALL, CHECK, "BILLING_MODE=attached", "TRUSTED_PROXY_HOPS=1", "gunicorn"):
        assert shlex.split(step)[-1] in said
