"""TLS to real servers: what each word of an address demands, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from peewee import SQL

from billing.database.connection import Database
from billing.errors import DatabaseUnavailable
from config import database_url
from tests.support.application import Billing
from tests.support.certificates import Certificates
from tests.support.mariadb import MariaDB
from tests.support.mysql import MySQL
from tests.support.postgresql import PostgreSQL

pytestmark = pytest.mark.server


class Server(NamedTuple):
    """A server with TLS: an address without parameters, and the authority of its certificate."""

    url: str
    authority: Path
    #: Its certificate is for the address that it is reached by.
    is_named: bool


@contextlib.contextmanager
def _certificates(owner: str) -> Iterator[Certificates]:
    """In a folder that the server's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="billing-tls-") as folder:
        yield Certificates(Path(folder), owner if os.geteuid() == 0 else None)


@pytest.fixture(scope="module")
def named_mariadb() -> Iterator[Server]:
    """MariaDB with a certificate for 127.0.0.1."""
    with _certificates("mysql") as files:
        certificate, key = f"--ssl-cert={files.certificate}", f"--ssl-key={files.key}"
        with contextlib.closing(MariaDB(certificate, key)) as server, server.database() as url:
            yield Server(url.partition("?")[0], files.authority, True)


@pytest.fixture(scope="module")
def unnamed_mysql(mysql: MySQL) -> Iterator[Server]:
    """MySQL with the certificate that it made for itself, which names no address."""
    with mysql.database() as url:
        yield Server(url.partition("?")[0], mysql.folder / "data" / "ca.pem", False)


@pytest.fixture(scope="module")
def named_postgresql() -> Iterator[Server]:
    """PostgreSQL with a certificate for 127.0.0.1, which takes no connection without TLS."""
    with _certificates("postgres") as files, contextlib.closing(PostgreSQL()) as server:
        for name, value in (
            ("ssl_cert_file", files.certificate),
            ("ssl_key_file", files.key),
            ("ssl", "on"),
        ):
            server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        server.stop()
        server.start()
        with server.database() as name:
            yield Server(server.url(name), files.authority, True)


@pytest.fixture(params=["named_mariadb", "unnamed_mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="module")
def stranger() -> Iterator[Path]:
    """The certificate of an authority that signed for none of the servers."""
    with tempfile.TemporaryDirectory(prefix="billing-tls-") as folder:
        yield Certificates(Path(folder)).authority


def cipher(address: str, sql: str = "SHOW STATUS LIKE 'Ssl_cipher'") -> str:
    """The cipher of a connection, empty without TLS. Raises DatabaseUnavailable."""
    with contextlib.closing(Database(database_url(address), 5, "attached")) as database:
        database.start_time_budget()
        return str(database.fetch(lambda columns: SQL(sql))[0][-1])


@pytest.mark.parametrize("query", ["", "?ssl-mode=DISABLED", "?driver=pymysql&ssl=false"])
def test_an_address_without_tls_gets_none(server: Server, query: str) -> None:
    assert cipher(server.url + query) == ""


@pytest.mark.parametrize(
    "query", ["ssl-mode=REQUIRED", "sslmode=require", "ssl=skip-verify", "reconnect=true&ssl=true"]
)
def test_required_encrypts_and_checks_nothing_but_true_does(server: Server, query: str) -> None:
    address = f"{server.url}?{query}"

    if query.endswith("true"):
        with pytest.raises(DatabaseUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            cipher(address)
    else:
        assert cipher(address)


@pytest.mark.parametrize("mode", ["VERIFY_CA", "REQUIRED"])
def test_an_authority_is_checked_without_the_name(
    server: Server, stranger: Path, mode: str
) -> None:
    address = f"{server.url}?ssl-mode={mode}&ssl-ca="

    assert cipher(f"{address}{server.authority}")
    with pytest.raises(DatabaseUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        cipher(f"{address}{stranger}")


@pytest.mark.parametrize("query", ["ssl-mode=VERIFY_IDENTITY&", ""])
def test_the_identity_is_the_name_too(server: Server, stranger: Path, query: str) -> None:
    address = f"{server.url}?{query}ssl_ca={server.authority}"

    if server.is_named:
        assert cipher(address)
        with pytest.raises(DatabaseUnavailable, match="not valid for 'localhost'"):
            cipher(address.replace("127.0.0.1", "localhost"))
    else:
        with pytest.raises(DatabaseUnavailable, match=r"not valid for '127\.0\.0\.1'"):
            cipher(address)
    with pytest.raises(DatabaseUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        cipher(f"{server.url}?{query}ssl_ca={stranger}")


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(mariadb: MariaDB) -> None:
    with mariadb.database() as url:
        for mode in ("ssl-mode=REQUIRED", "ssl=skip-verify", "ssl=true"):
            with pytest.raises(DatabaseUnavailable, match="SSL is required"):
                cipher(f"{url.partition('?')[0]}?{mode}")


POSTGRESQL_CIPHER = "SELECT coalesce(cipher, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def test_postgresql_is_checked_as_libpq_does(named_postgresql: Server, stranger: Path) -> None:
    url, authority = named_postgresql.url, named_postgresql.authority
    sql = POSTGRESQL_CIPHER

    assert cipher(f"{url}?sslmode=disable", sql) == ""
    for query in (
        *("sslmode=require", f"sslmode=require&sslrootcert={authority}"),
        *(f"sslmode={mode}&sslrootcert={authority}" for mode in ("verify-ca", "verify-full")),
    ):
        assert cipher(f"{url.replace('postgresql:', 'postgresql+psycopg:')}?{query}", sql)
    for mode in ("require", "verify-ca", "verify-full"):
        with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
            cipher(f"{url}?sslmode={mode}&sslrootcert={stranger}", sql)
    elsewhere = url.replace("127.0.0.1", "localhost")
    with pytest.raises(DatabaseUnavailable, match="does not match host name"):
        cipher(f"{elsewhere}?sslmode=verify-full&sslrootcert={authority}", sql)


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", "not required"),
        ("?ssl-mode=REQUIRED", "required; neither certificate nor name of the server is checked"),
        (
            "?ssl-mode=VERIFY_CA&ssl_ca={authority}",
            "required; the server's certificate is checked, its name is not",
        ),
        (
            "?ssl-mode=VERIFY_IDENTITY&ssl_ca={authority}",
            "required; certificate and name of the server are checked",
        ),
    ],
)
def test_flask_check_says_what_is_checked(named_mariadb: Server, query: str, tls: str) -> None:
    billing = Billing(named_mariadb.url + query.format(authority=named_mariadb.authority))
    billing.run("init")
    unchecked = query == "?ssl-mode=REQUIRED"

    result = billing.app.test_cli_runner().invoke(args=["check", "--json"])

    report = json.loads(result.stdout)
    billing.close()
    assert report["tls"] == tls
    warning = (
        "DATABASE_URL encrypts but does not check who answers: name the server's authority (ssl_ca)"
    )
    assert (warning in report["warnings"]) == unchecked
    assert result.exit_code == unchecked
