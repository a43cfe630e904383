"""Settings: every variable's default, good and bad values, and what a bad one's line says."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from config import DatabaseURL, RateLimit, Settings, SettingsError, variables
from tests.support.processes import ROOT, environment

DEFAULTS: dict[str, Any] = {
    "BILLING_MODE": "embedded",
    "DATABASE_URL": DatabaseURL("sqlite", path=ROOT / "billing.db"),
    "LOG_DATABASE_URL": None,
    "USAGE_CACHE": Path(),
    "OPTIONS_REFRESH": 60,
    "DATABASE_TIMEOUT": 3.0,
    "QUOTA_PER_UNIT": 500000,
    "DISPLAY_UNIT": "USD",
    "USD_EXCHANGE_RATE": Fraction(73, 10),
    "CUSTOM_EXCHANGE_RATE": 1,
    "CUSTOM_CURRENCY_SYMBOL": "¤",
    "BILLING_SCOPE": "token",
    "UNLIMITED_TOKENS": "sentinel",
    "REQUIRE_NEW_API_USER": False,
    "TRUSTED_PROXY_HOPS": 0,
    "PANEL": True,
    "DEFAULT_LANGUAGE": "zh",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "text",
    "METRICS": False,
    "RATE_LIMIT": None,
    "RATE_LIMIT_STORAGE": "memory",
    "PORT": 8000,
    "WEB_CONCURRENCY": 2,
    "WEB_THREADS": 8,
    "HEAVY_READS": 2,
}

GOOD: list[tuple[str, str, Any]] = [
    ("BILLING_MODE", "attached", "attached"),
    ("LOG_DATABASE_URL", "clickhouse://h/logs", DatabaseURL("clickhouse")),
    ("OPTIONS_REFRESH", "1", 1),
    ("DATABASE_TIMEOUT", "0.1", 0.1),
    ("DATABASE_TIMEOUT", "60", 60.0),
    ("QUOTA_PER_UNIT", "1e6", 1000000),
    ("USD_EXCHANGE_RATE", "7.25", Fraction(29, 4)),
    ("CUSTOM_EXCHANGE_RATE", "0.1", Fraction(1, 10)),
    ("CUSTOM_EXCHANGE_RATE", "1e-100", Fraction(1, 10**100)),
    ("CUSTOM_CURRENCY_SYMBOL", "R$", "R$"),
    ("PANEL", "false", False),
    *[("DISPLAY_UNIT", unit, unit) for unit in ("USD", "CNY", "TOKENS", "CUSTOM")],
    *[("BILLING_SCOPE", scope, scope) for scope in ("token", "account", "spendable")],
    *[("UNLIMITED_TOKENS", shown, shown) for shown in ("sentinel", "account")],
    *[("REQUIRE_NEW_API_USER", yes, True) for yes in ("true", "True", "1")],
    *[("REQUIRE_NEW_API_USER", no, False) for no in ("false", "FALSE", "0")],
    ("TRUSTED_PROXY_HOPS", "10", 10),
    ("USAGE_CACHE", "off", None),
    ("USAGE_CACHE", "cache/usage.db", ROOT / "cache" / "usage.db"),
    ("USAGE_CACHE", "/var/lib/billing/usage.db", Path("/var/lib/billing/usage.db")),
    ("DEFAULT_LANGUAGE", "en", "en"),
    ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ("LOG_FORMAT", "json", "json"),
    ("METRICS", "true", True),
    ("RATE_LIMIT", "360 per 3 minutes", RateLimit(360, 180)),
    ("RATE_LIMIT", "1 per second", RateLimit(1, 1)),
    ("RATE_LIMIT", "100/minute", RateLimit(100, 60)),
    ("RATE_LIMIT", "5 per 2 days", RateLimit(5, 172800)),
    ("RATE_LIMIT_STORAGE", "redis://:p@h:6379/0", "redis://:p@h:6379/0"),
    ("RATE_LIMIT_STORAGE", "rediss://h", "rediss://h"),
    ("PORT", " 65535 ", 65535),
    ("WEB_CONCURRENCY", "256", 256),
    ("WEB_THREADS", "64", 64),
    ("HEAVY_READS", "1", 1),
]

#: The rates are held to the same bad numbers; what each variable says that it accepts.
NUMBERS = ["0", "-1", "nan", "inf", "1,5", "1..5", ".", "1e101", "1e-101", "1e9999", "٣", "1_0"]
WHOLE = ["-1", "1.5", "+1", "٣", "1e1", "one"]
BAD: list[tuple[str, list[str], str]] = [
    ("BILLING_MODE", ["gateway"], "must be embedded or attached"),
    ("OPTIONS_REFRESH", [*NUMBERS, "0.5", "86401"], "must be seconds from 1 to 86400"),
    ("DATABASE_TIMEOUT", [*NUMBERS, "0.09", "61"], "must be seconds from 0.1 to 60"),
    ("QUOTA_PER_UNIT", NUMBERS, "must be a number above 0"),
    ("USD_EXCHANGE_RATE", NUMBERS, "must be a number above 0"),
    ("CUSTOM_EXCHANGE_RATE", NUMBERS, "must be a number above 0"),
    ("CUSTOM_CURRENCY_SYMBOL", ["a\nb", "too long!"], "must be up to 8 printable characters"),
    ("PANEL", ["yes", "off"], "must be true or false"),
    ("DISPLAY_UNIT", ["usd", "EUR"], "must be USD, CNY, TOKENS or CUSTOM"),
    ("BILLING_SCOPE", ["user"], "must be token, account or spendable"),
    ("UNLIMITED_TOKENS", ["infinite"], "must be sentinel or account"),
    ("REQUIRE_NEW_API_USER", ["yes", "2"], "must be true or false"),
    ("USAGE_CACHE", ["/var/lib/billing/", ":memory:"], "must be a path, or off"),
    ("TRUSTED_PROXY_HOPS", [*WHOLE, "11"], "must be a whole number from 0 to 10"),
    ("DEFAULT_LANGUAGE", ["fr", "zh-CN"], "must be zh or en"),
    ("LOG_LEVEL", ["debug", "TRACE"], "must be DEBUG, INFO, WARNING or ERROR"),
    ("LOG_FORMAT", ["JSON", "xml"], "must be text or json"),
    ("METRICS", ["on"], "must be true or false"),
    (
        "RATE_LIMIT",
        ["360", "0 per minute", "5 per 0 hours", "-1/second", "٣/second", "5 per week", "per day"],
        "must be a rate such as 360 per 3 minutes, 10 per second or 100/minute",
    ),
    (
        "RATE_LIMIT_STORAGE",
        ["redis", "redis://", "redis://[h", "memcached://h"],
        "must be memory or redis://host:6379/0",
    ),
    ("PORT", [*WHOLE, "0", "65536"], "must be a port from 1 to 65535"),
    ("WEB_CONCURRENCY", [*WHOLE, "0", "257"], "must be a whole number from 1 to 256"),
    ("WEB_THREADS", [*WHOLE, "0", "65"], "must be a whole number from 1 to 64"),
    ("HEAVY_READS", [*WHOLE, "0", "65"], "must be a whole number from 1 to 64"),
]

URL_LINE = (
    "DATABASE_URL must be sqlite:///file.db, sqlite:////absolute/file.db, "
    "mysql://user:password@host:3306/name, and, attached, "
    "postgresql://user:password@host:5432/name or a gateway's SQL_DSN"
)
BAD_URLS = [
    "hunter2",
    "sqlite:///",
    "sqlite:///:memory:",
    "sqlite://hunter2/billing.db",
    "sqlite:///billing.db?mode=hunter2",
    "mysql://root:hunter2@db",
    "mysql://root:hunter2@db/",
    "mysql://root:hunter2@db:port/billing",
    "mysql://root:hunter2@db:70000/billing",
    "mysql://root:hunter2?@db/billing",
    "mysql://root:@db/billing?ssl=hunter2",
    "mysql://root:@db/billing?driver=hunter2",
    "mysql://root:@db/billing?charset=hunter2",
    "mysql3://root:hunter2@db/billing",
    "sqlite+pysqlite:///hunter2.db",
    "mysql://root:hunter2@[db/billing",
    "oracle://root:hunter2@db/billing",
]


def lines(env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    return str(caught.value).splitlines()


def setting(variable: str, env: dict[str, str]) -> Any:
    return getattr(Settings.from_env(env), variable.lower())


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(DEFAULTS, ""), dict.fromkeys(DEFAULTS, " ")])
def test_an_empty_variable_is_an_unset_one(empty: dict[str, str]) -> None:
    settings = Settings.from_env(empty)

    assert {name: getattr(settings, name.lower()) for name in DEFAULTS} == DEFAULTS
    assert settings.set_by_environment == frozenset()


def test_each_gateway_has_a_usage_cache_of_its_own() -> None:
    def path(url: str, **env: str) -> Path | None:
        attached = {"BILLING_MODE": "attached", "DATABASE_URL": url, **env}
        return Settings.from_env(attached).usage_cache_path

    first = path("mysql://billing:one@h/newapi")

    assert first is not None
    assert first.parent == ROOT
    assert first.match("usage-cache-*.db")
    assert first == path("mysql://another:two@h/newapi")
    assert first != path("mysql://billing:one@h/oneapi")
    assert first != path("mysql://billing:one@h/newapi", LOG_DATABASE_URL="mysql://u@h/logs")
    assert path("postgresql://a:one@h/newapi") == path("postgresql://b:two@h/newapi")
    assert path("postgresql://a@h/newapi") != path("postgresql://a@i/newapi")
    assert path("sqlite:///one-api.db", USAGE_CACHE="off") is None
    assert Settings.from_env({}).usage_cache_path is None


def test_a_secret_in_an_address_is_no_part_of_how_settings_print() -> None:
    settings = Settings.from_env({"RATE_LIMIT_STORAGE": "redis://:hunter2@h"})

    assert "hunter2" not in repr(settings)


def test_every_variable_is_tested_here() -> None:
    names = {field.name.upper() for field in variables()}
    addresses = {"DATABASE_URL", "LOG_DATABASE_URL"}

    assert names == set(DEFAULTS) == {*addresses, *(name for name, _, _ in BAD)}


@pytest.mark.parametrize(("variable", "text", "value"), GOOD)
def test_a_good_value_is_taken(variable: str, text: str, value: Any) -> None:
    settings = Settings.from_env({variable: text})

    assert getattr(settings, variable.lower()) == value
    assert settings.set_by_environment == {variable}


@pytest.mark.parametrize(("variable", "values", "accepts"), BAD)
def test_a_bad_value_is_named_with_what_is_accepted(
    variable: str, values: list[str], accepts: str
) -> None:
    said = {value: lines({variable: value}) for value in values}

    assert said == {value: [f"{variable} {accepts}"] for value in values}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_is_refused_without_repeating_it(url: str) -> None:
    assert lines({"DATABASE_URL": url}) == [URL_LINE]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgres_address_that_a_host_set_unasked_is_refused(scheme: str) -> None:
    (line,) = lines({"DATABASE_URL": f"{scheme}://u:hunter2@ec2.example/d"})

    assert line == (
        "DATABASE_URL is a PostgreSQL address (some hosts set it unasked): our own tables live in "
        "SQLite or MySQL (sqlite:///billing.db, mysql://…); BILLING_MODE=attached reads a gateway's"
    )


def test_an_unknown_parameter_of_a_mysql_address_is_refused() -> None:
    (line,) = lines({"DATABASE_URL": "mysql://u:hunter2@h/d?timeout=hunter2"})

    assert line == (
        "DATABASE_URL takes no other parameters than "
        "unix_socket, ssl, ssl_mode, ssl_ca, driver, charset and reconnect"
    )


@pytest.mark.parametrize("host", ["10.0.0..5", ".db", "h" * 64])
def test_a_host_that_is_no_name_is_refused_in_one_line(host: str) -> None:
    addresses = {
        "DATABASE_URL": f"mysql://u:hunter2@{host}/d",
        "LOG_DATABASE_URL": f"u:hunter2@tcp({host}:3306)/d",
        "RATE_LIMIT_STORAGE": f"redis://:hunter2@{host}",
    }
    postgresql = [f"postgresql://u:hunter2@h,{host}/d", f"postgresql:///d?host={host}"]

    assert lines(addresses) == [f"{name} names a host that is no host name" for name in addresses]
    for url in postgresql:
        said = lines({"BILLING_MODE": "attached", "DATABASE_URL": url})
        assert said == ["DATABASE_URL names a host that is no host name"]


def test_a_folder_of_unix_sockets_is_no_host_name_and_is_taken() -> None:
    folder = "/var/run/" + "long" * 20

    for url in (f"postgresql:///d?host={folder}", f"postgresql://{folder.replace('/', '%2F')}/d"):
        assert Settings.from_env({"BILLING_MODE": "attached", "DATABASE_URL": url})


def test_all_bad_values_are_reported_together() -> None:
    said = lines({"PORT": "no", "LOG_LEVEL": "no", "DATABASE_URL": "no", "BILLING_SCOPE": "token"})

    assert said == [
        URL_LINE,
        "LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
        "PORT must be a port from 1 to 65535",
    ]


def test_a_bad_start_ends_with_status_1_and_no_traceback(tmp_path: Path) -> None:
    env = environment(
        {"PORT": "no", "DATABASE_URL": "mysql://u:hunter2@h", "PYTHONPATH": str(ROOT)}
    )

    ended = subprocess.run(
        [sys.executable, "-c", "import wsgi"], env=env, cwd=tmp_path, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [URL_LINE, "PORT must be a port from 1 to 65535"]


def test_a_relative_path_starts_at_the_folder_of_wsgi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    url = setting("DATABASE_URL", {"DATABASE_URL": "sqlite:///data/my%20file.db"})

    assert url.path == ROOT / "data" / "my file.db"
    assert (ROOT / "wsgi.py").exists()
    assert os.listdir(tmp_path) == []


def test_an_absolute_path_has_four_slashes() -> None:
    url = setting("DATABASE_URL", {"DATABASE_URL": "sqlite:////var/lib/billing.db"})

    assert url == DatabaseURL("sqlite", path=Path("/var/lib/billing.db"))


def mysql(**fields: Any) -> DatabaseURL:
    return DatabaseURL("mysql", **{"host": "127.0.0.1", "port": 3306, "name": "n", **fields})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mysql:///n", mysql()),
        ("mysql://u@h/n", mysql(user="u", host="h")),
        ("mysql://h:3307/n/", mysql(host="h", port=3307)),
        ("mysql://[::1]:3307/n", mysql(host="::1", port=3307)),
        ("mysql://u:p%40ss%3A%2F%25%23%3F@h/n", mysql(user="u", password="p@ss:/%#?", host="h")),
        ("mysql://a%40b:%E5%AF%86@h/n", mysql(user="a@b", password="密", host="h")),
        ("mysql:///n?unix_socket=/run/my%20sql.sock", mysql(unix_socket="/run/my sql.sock")),
        ("mysql:///n?ssl=true", mysql(ssl="verify")),
        ("mysql:///n?driver=pymysql", mysql(driver="pymysql")),
        ("mysql:///n?ssl=false&ssl_ca=/etc/ca.pem", mysql(ssl_ca="/etc/ca.pem")),
        ("mysql2://u@h/n?reconnect=true", mysql(user="u", host="h")),
        ("mariadb://u@h/n?charset=utf8mb4", mysql(user="u", host="h")),
        ("mysql+pymysql://u@h/n?charset=utf8", mysql(user="u", host="h", driver="pymysql")),
        ("mariadb+pymysql://u@h/n", mysql(user="u", host="h", driver="pymysql")),
        ("mysql+mysqldb://u@h/n", mysql(user="u", host="h")),
    ],
)
def test_a_mysql_address_is_unescaped_part_by_part(text: str, url: DatabaseURL) -> None:
    assert setting("DATABASE_URL", {"DATABASE_URL": text}) == url


CA = "&ssl_ca=/ca.pem"


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", ""),
        ("ssl=false", ""),
        ("ssl=true", "verify"),
        ("ssl=skip-verify", "skip-verify"),
        ("ssl_ca=/ca.pem", "verify"),
        ("ssl-mode=DISABLED", ""),
        ("ssl-mode=REQUIRED", "skip-verify"),
        ("ssl_mode=required", "skip-verify"),
        ("sslmode=require", "skip-verify"),
        ("sslMode=VERIFY_IDENTITY", "verify"),
        ("sslmode=verify-full", "verify"),
        (f"ssl-mode=VERIFY_IDENTITY{CA}", "verify"),
        (f"ssl-mode=VERIFY_CA{CA}", "verify-ca"),
        (f"sslmode=verify-ca{CA}", "verify-ca"),
        (f"ssl-mode=REQUIRED{CA}", "verify-ca"),
    ],
)
def test_a_mysql_address_says_what_tls_must_prove(query: str, tls: str) -> None:
    url = setting("DATABASE_URL", {"DATABASE_URL": f"mysql://u@h/n?{query}"})

    assert url.tls == tls


MODES_LINE = (
    "DATABASE_URL takes as ssl_mode DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY: "
    "with any other the password might travel in clear text"
)
AUTHORITY_LINE = (
    "DATABASE_URL has ssl_mode=VERIFY_CA without ssl_ca: any public authority could sign for the "
    "server. Add ssl_ca, or write VERIFY_IDENTITY"
)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        *[(f"ssl-mode={mode}", MODES_LINE) for mode in ("PREFERRED", "prefer", "hunter2", "")],
        *[(f"ssl-mode={mode}", AUTHORITY_LINE) for mode in ("VERIFY_CA", "verify-ca")],
        ("ssl-mode=VERIFY_CA&ssl_ca=", AUTHORITY_LINE),
        ("ssl=true&ssl-mode=REQUIRED", "DATABASE_URL has both ssl and ssl_mode: leave one out"),
        ("sslmode=verify-full&ssl-mode=DISABLED", "DATABASE_URL names ssl_mode twice"),
    ],
)
def test_what_would_weaken_tls_is_not_guessed(query: str, line: str) -> None:
    assert lines({"DATABASE_URL": f"mysql://u:hunter2@h/n?{query}"}) == [line]


@pytest.mark.parametrize("url", ["jdbc:mysql://h/n?user=u", "jdbc:postgresql://h/n"])
def test_a_jdbc_address_is_refused_with_the_reason(url: str) -> None:
    assert lines({"DATABASE_URL": f"{url}&password=hunter2"}) == [
        "DATABASE_URL is a JDBC address: write mysql://… or postgresql://…, without jdbc:"
    ]


def test_a_password_is_in_no_repr() -> None:
    settings = Settings.from_env({"DATABASE_URL": "mysql://u:hunter2@h/n"})

    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["sqlite:///billing#hunter2.db", "mysql://root:hunter2#1@db/billing"]
)
def test_a_hash_sign_would_cut_the_rest_off_and_is_refused(url: str) -> None:
    assert lines({"DATABASE_URL": url}) == [
        "DATABASE_URL has a #: write it as %23 in a user name or password"
    ]


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        (
            "user:pa:ss@w/rd@tcp(db.host:3307)/newapi?parseTime=true&tls=skip-verify",
            mysql(
                user="user",
                password="pa:ss@w/rd",
                host="db.host",
                port=3307,
                name="newapi",
                ssl="skip-verify",
            ),
        ),
        ("root@unix(/run/m.sock)/n?tls=false", mysql(user="root", unix_socket="/run/m.sock")),
        ("root:1@/n", mysql(user="root", password="1")),
        ("u:p@tcp([::1])/n?tls=true", mysql(user="u", password="p", host="::1", ssl="verify")),
    ],
)
def test_a_gateways_dsn_is_read_as_its_driver_does(dsn: str, url: DatabaseURL) -> None:
    assert setting("DATABASE_URL", {"DATABASE_URL": dsn, "BILLING_MODE": "attached"}) == url


@pytest.mark.parametrize(
    ("tls", "proof"),
    [
        *[("false", ""), ("0", ""), ("true", "verify"), ("1", "verify")],
        *[("skip-verify", "skip-verify"), ("preferred", "skip-verify")],
    ],
)
def test_a_gateways_dsn_says_what_tls_must_prove(tls: str, proof: str) -> None:
    url = setting("DATABASE_URL", {"DATABASE_URL": f"u:p@tcp(h)/n?tls={tls}"})

    assert url.tls == proof


def test_a_tls_configuration_that_only_the_gateway_knows_is_refused() -> None:
    assert lines({"DATABASE_URL": "u:hunter2@tcp(h)/n?tls=hunter2"}) == [
        "DATABASE_URL has a tls that is none of true, skip-verify, preferred and false"
    ]


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        *[("", ""), ("sslmode=disable", ""), ("sslmode=prefer", "")],
        ("sslmode=require&channel_binding=require", "skip-verify"),
        ("sslmode=require&sslrootcert=/ca.pem", "verify-ca"),
        ("sslmode=verify-ca&sslrootcert=/ca.pem", "verify-ca"),
        ("sslmode=verify-full", "verify"),
        ("sslmode=require&sslrootcert=system", "verify"),
    ],
)
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_address_says_what_tls_must_prove(scheme: str, query: str, tls: str) -> None:
    env = {"DATABASE_URL": f"{scheme}://u@h/d?{query}", "BILLING_MODE": "attached"}

    url = setting("DATABASE_URL", env)

    assert url.tls == tls
    assert url.dsn == f"postgresql://u@h/d?{query}".replace("=/", "=%2F").removesuffix("?")


@pytest.mark.parametrize("query", ["ssl=true", "sslMode=require", "sslmode=REQUIRED", "sslmode=no"])
def test_a_word_for_tls_that_libpq_does_not_know_is_refused(query: str) -> None:
    said = lines({"DATABASE_URL": f"postgres://u@h/d?{query}", "BILLING_MODE": "attached"})

    assert said == [
        "DATABASE_URL takes for TLS only sslmode (disable, allow, prefer, require, verify-ca or "
        "verify-full), sslrootcert, sslcert, sslkey and channel_binding"
    ]


def test_libpq_is_not_told_what_only_the_gateways_driver_knows() -> None:
    dsn = "postgres://u:p%40@h1:5432,h2/d?sslmode=disable&TimeZone=Asia/Shanghai"

    url = setting("DATABASE_URL", {"DATABASE_URL": dsn, "BILLING_MODE": "attached"})

    assert url.dsn == "postgresql://u:p%40@h1:5432,h2/d?sslmode=disable"


def test_a_gateways_sqlite_path_may_carry_its_drivers_settings() -> None:
    url = setting("DATABASE_URL", {"DATABASE_URL": "sqlite:////x/one-api.db?_busy_timeout=30000"})

    assert url == DatabaseURL("sqlite", path=Path("/x/one-api.db"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@x@h/d",
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u@h:hunter2/d",
        "postgresql://h/",
        "/hunter2.db",
    ],
)
def test_a_bad_gateways_address_is_not_quoted(url: str) -> None:
    said = lines({"DATABASE_URL": url, "BILLING_MODE": "attached"})

    assert said == [URL_LINE]


def test_a_percent_sign_that_libpq_would_quote_is_refused() -> None:
    said = lines({"DATABASE_URL": "postgresql://u:hunter2%zz@h/d", "BILLING_MODE": "attached"})

    assert said == ["DATABASE_URL has a % that begins no escape: write it as %25"]


def test_postgresql_over_a_unix_socket_keeps_its_port() -> None:
    dsn = "postgresql:///na?host=/run/pg&port=5433&user=x"

    url = setting("DATABASE_URL", {"DATABASE_URL": dsn, "BILLING_MODE": "attached"})

    assert url.dsn == "postgresql:///na?host=%2Frun%2Fpg&port=5433&user=x"


def test_several_hosts_are_tried_in_order() -> None:
    url = setting("DATABASE_URL", {"DATABASE_URL": "mysql://u:p@h1:3307,h2,[::1]:3308/n"})

    assert url == mysql(
        user="u", password="p", host="h1", port=3307, fallbacks=(("h2", 3306), ("::1", 3308))
    )
