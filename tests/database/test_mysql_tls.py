"""MySQL that takes no connection without TLS: what is said then, and the addresses that work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.http_client import bearer
from tests.support.mysql import MySQL
from tests.support.processes import flask

USAGE = "/v1/dashboard/billing/usage"


@pytest.fixture
def certificate(mysql: MySQL) -> Path:
    """The certificate of the server for 127.0.0.1, signed by itself; its key is beside it."""
    path = mysql.folder / "own.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path.with_suffix(".key")), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    path.with_suffix(".key").chmod(0o644)
    return path


@pytest.fixture
def requiring_tls(mysql: MySQL) -> Iterator[Billing]:
    """A database with our tables and a user, on a server that then requires TLS."""
    with mysql.billing() as billing:
        billing.user()
        mysql.execute("SET GLOBAL require_secure_transport = ON")
        yield billing
        mysql.execute("SET GLOBAL require_secure_transport = OFF")


@pytest.mark.parametrize("driver", ["?driver=pymysql", ""])
def test_without_tls_in_the_address_the_reason_is_said(
    requiring_tls: Billing, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = requiring_tls.env["DATABASE_URL"].partition("?")[0] + driver
    billing = Billing(url)

    checked = flask({"DATABASE_URL": url}, "check")
    answer = billing.client().get(USAGE, headers=bearer("sk-x"))

    billing.close()
    assert checked.returncode == 2
    assert checked.stderr.startswith("cannot serve: ")
    assert len(checked.stderr.splitlines()) == 1
    assert (answer.status_code, answer.get_json()["error"]["type"]) == (503, "new_api_error")
    for text in (checked.stderr, caplog.text):
        assert "3159" in text
        assert "require_secure_transport=ON" in text


def test_an_address_that_checks_nothing_is_served(requiring_tls: Billing) -> None:
    url = requiring_tls.env["DATABASE_URL"].partition("?")[0] + "?ssl=skip-verify"

    checked = flask({"DATABASE_URL": url}, "check")

    warning = "DATABASE_URL encrypts but does not check who answers"
    assert (checked.returncode, warning in checked.stderr) == (1, True)
    assert "MySQL 9.7" in checked.stdout
    assert "PyMySQL" in checked.stdout


def test_a_server_is_checked_against_the_authority_of_the_address(
    requiring_tls: Billing, mysql: MySQL, certificate: Path
) -> None:
    url = requiring_tls.env["DATABASE_URL"].partition("?")[0] + f"?ssl_ca={certificate}"
    others = flask({"DATABASE_URL": url}, "check")
    names = ("ssl_cert", "ssl_key", "ssl_ca")
    before = [mysql.execute(f"SELECT @@GLOBAL.{name}")[0][0] for name in names]
    files = (str(certificate), str(certificate.with_suffix(".key")), str(certificate))
    _use(mysql, dict(zip(names, files, strict=True)))
    try:
        own = flask({"DATABASE_URL": url}, "check")
    finally:
        _use(mysql, dict(zip(names, before, strict=True)))

    assert (own.returncode, own.stderr) == (0, "")
    assert others.returncode == 2
    assert "certificate verify failed" in others.stderr


def _use(mysql: MySQL, files: dict[str, str]) -> None:
    for name, value in files.items():
        mysql.execute(f"SET GLOBAL {name} = %s", value)
    mysql.execute("ALTER INSTANCE RELOAD TLS")
