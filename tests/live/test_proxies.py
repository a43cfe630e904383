"""nginx behind another proxy: whose address counts, for allow-lists and for limits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fronts import Front
from tests.support.http_client import Answer, ask
from tests.support.nginx import Nginx, OuterProxy, behind
from tests.support.processes import freeze, wait_for
from tests.support.site import SUBSCRIPTION, USAGE

_APPENDS = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
_APPENDS_A_PORT = (
    'proxy_set_header X-Forwarded-For "$http_x_forwarded_for, $remote_addr:$remote_port";'
)

#: What each kind of proxy adds to a request, after the case in deploy/nginx.conf.
PROXIES = [
    ("Cloudflare", f"proxy_set_header CF-Connecting-IP $remote_addr; {_APPENDS}"),
    ("AWS ALB", _APPENDS),
    ("AWS ALB", _APPENDS_A_PORT),
    ("Another nginx", "proxy_set_header X-Forwarded-For $remote_addr;"),
    ("Another nginx", _APPENDS),
]

#: An address that the token "loopback" allows, and that everybody may claim to have.
ALLOWED, OTHER = "127.0.0.1", "127.0.0.2"
FORGED = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP"), ALLOWED)

DAYS = f"{USAGE}?include=daily_costs&start_date=2026-11-01&end_date=2026-11-02"


class Chain:
    """A proxy, and behind it nginx with the changes to deploy/nginx.conf."""

    def __init__(self, folder: Path, socket: Path, changes: dict[str, str], headers: str) -> None:
        for name in ("inner", "outer"):
            (folder / name).mkdir()
        self.inner = Nginx(folder / "inner", socket, changes)
        self.outer = OuterProxy(folder / "outer", self.inner, headers)

    def close(self) -> None:
        self.outer.close()
        self.inner.close()


@pytest.fixture
def chain(front: Front, tmp_path: Path) -> Iterator[Callable[[dict[str, str], str], Chain]]:
    started: list[Chain] = []

    def start(changes: dict[str, str], headers: str) -> Chain:
        started.append(Chain(tmp_path, front.socket, changes, headers))
        return started[-1]

    yield start
    for chain in started:
        chain.close()


@pytest.mark.parametrize(("case", "headers"), PROXIES)
def test_an_allow_list_sees_the_client_in_front_of_the_proxy(
    front: Front, chain: Callable[..., Chain], case: str, headers: str
) -> None:
    both = chain(behind(case), headers)
    key = front.site.headers("loopback")

    def status(url: str, client: str, more: dict[str, str]) -> int:
        return ask(url, SUBSCRIPTION, {**key, **more}, client=client).status

    assert status(both.outer.url, ALLOWED, {}) == 200
    assert status(both.outer.url, OTHER, {}) == 403
    assert status(both.outer.url, OTHER, FORGED) == 403
    # Past the proxy, no header counts.
    assert status(both.inner.url, ALLOWED, {"X-Forwarded-For": OTHER}) == 200
    assert status(both.inner.url, OTHER, FORGED) == 403


def test_without_those_lines_every_client_is_the_proxy(
    front: Front, chain: Callable[..., Chain]
) -> None:
    both = chain({}, _APPENDS)

    answer = ask(both.outer.url, SUBSCRIPTION, front.site.headers("loopback"), client=ALLOWED)

    assert answer.status == 403


@pytest.mark.parametrize(("case", "headers"), PROXIES)
def test_one_clients_heavy_reads_keep_no_other_client_out(
    front: Front, chain: Callable[..., Chain], case: str, headers: str
) -> None:
    both = chain(behind(case), headers)
    key = front.site.headers("example")

    def read(client: str) -> Answer:
        return ask(both.outer.url, DAYS, {**key, **FORGED}, client=client)

    workers = front.site.server.workers()
    with ThreadPoolExecutor(3) as pool:
        try:
            for pid in workers:
                freeze(pid)
            asked = [pool.submit(read, client) for client in (OTHER, OTHER, "127.0.0.3")]
            wait_for(lambda: any(answer.done() for answer in asked[:2]), "a refusal", 5)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        *same, another = [answer.result().status for answer in asked]

    assert (sorted(same), another) == ([200, 429], 200)
