"""Databases that are not ours or broken, settings that are wrong: what callers are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.processes import ROOT, environment
from tests.support.site import UNAVAILABLE, UNREADABLE, USAGE, is_unreadable

BROKEN = (
    '{"error":{"message":"服务内部错误，请稍后重试",'
    '"type":"new_api_error","code":"internal_error"}}\n'
)


def _corrupt(path: Path) -> None:
    billing = Billing(f"sqlite:///{path}")
    billing.run("init")
    billing.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))


def _absent(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(("spoil", "status"), [(_corrupt, 500), (_absent, 503)])
def test_a_sqlite_file_that_is_not_ours_is_told(
    tmp_path: Path, gunicorn: Callable[..., Gunicorn], spoil: Callable[[Path], None], status: int
) -> None:
    path = tmp_path / "billing.db"
    spoil(path)
    before = path.read_bytes() if path.exists() else None

    _all_tell(gunicorn({"DATABASE_URL": f"sqlite:///{path}"}), status)

    assert (path.read_bytes() if path.exists() else None) == before


def _all_tell(server: Gunicorn, status: int) -> None:
    for path in UNREADABLE:
        is_unreadable(path, ask(server.url, path, bearer("sk-any")), status)
    ready = ask(server.url, "/readyz")
    assert ready.status == status
    assert ready.body.decode() == (UNAVAILABLE if status == 503 else BROKEN)
    assert ready.headers["Retry-After"] == ("2" if status == 503 else None)
    without = [ask(server.url, "/healthz"), ask(server.url, "/x"), ask(server.url, USAGE)]
    assert [answer.status for answer in without] == [200, 404, 401]


def test_bad_settings_end_the_start_with_a_line_each() -> None:
    env = {"QUOTA_PER_UNIT": "none", "DISPLAY_UNIT": "EUR", "TRUSTED_PROXY_HOPS": "-1"}

    ended = subprocess.run(
        [Path(sys.executable).with_name("gunicorn"), "wsgi:app"],
        cwd=ROOT,
        env=environment({**env, "DATABASE_URL": "mysql://u:s3cr3t@h"}),
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == (
        "DATABASE_URL must be sqlite:///file.db, sqlite:////absolute/file.db, "
        "mysql://user:password@host:3306/name, and, attached, "
        "postgresql://user:password@host:5432/name or a gateway's SQL_DSN\n"
        "QUOTA_PER_UNIT must be a number above 0\n"
        "DISPLAY_UNIT must be USD, CNY, TOKENS or CUSTOM\n"
        "TRUSTED_PROXY_HOPS must be a whole number from 0 to 10\n"
    )


@pytest.mark.parametrize("claim", [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=::1"}])
def test_behind_a_unix_socket_an_unknown_address_is_on_no_list(
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    socket_path: Path,
    claim: dict[str, str],
) -> None:
    sqlite_billing.user()
    token = sqlite_billing.token("alice", "--allow-ip", "127.0.0.1", "--allow-ip", "::/0")
    gunicorn(sqlite_billing.env, f"--bind=unix:{socket_path}")

    answer = ask(f"unix:{socket_path}", USAGE, {**bearer(token["key"]), **claim})

    assert (answer.status, answer.json["error"]["code"]) == (403, "ip_not_allowed")
