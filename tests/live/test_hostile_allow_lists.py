"""Users of an attached gateway choose their tokens' allow-lists: none fills or stalls a worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gateways import Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.secrets import remember
from tests.support.site import USAGE

#: Tokens, and about how many bytes of allow-list each of them has.
TOKENS, BYTES = 100, 775_000


def list_of_bytes(number: int) -> str:
    """Addresses that no other token's list begins with, `BYTES` long."""
    lines = [f"10.{number}.{at >> 8 & 255}.{at & 255}" for at in range(BYTES // 9)]
    return "\n".join(lines)[:BYTES]


def memory(pid: int) -> int:
    """MB that a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) // 1024


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_hundred_huge_allow_lists_leave_a_worker_small_and_quick(
    newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    newapi.user()
    keys = [remember({"key": f"huge{number:03}"})["key"] for number in range(TOKENS)]
    tokens = [
        newapi.token(key=key, allow_ips=list_of_bytes(number)) for number, key in enumerate(keys)
    ]
    small = remember({"key": "small"})["key"]
    newapi.token(key=small, allow_ips="127.0.0.1")
    env = {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url, "WEB_CONCURRENCY": "1"}
    server = gunicorn(env)
    (worker,) = server.workers()
    assert ask(server.url, USAGE, bearer(small)).status == 200
    before, started = memory(worker), time.monotonic()

    answers = [ask(server.url, USAGE, bearer(key)) for key in keys for _ in range(2)]

    took, grown = time.monotonic() - started, memory(worker) - before
    assert {answer.json["error"]["code"] for answer in answers} == {"ip_not_allowed"}
    assert grown < 50
    assert took < 20
    assert ask(server.url, USAGE, bearer(small)).status == 200
    logged = re.findall(r"allow-list of token (\d+) is too long", server.log)
    assert sorted(map(int, logged)) == tokens
