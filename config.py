"""Reads and checks the environment; the only file that does."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

ROOT = Path(__file__).resolve().parent


class SettingsError(SystemExit):
    """Every bad variable, one line each; ends a start-up with status 1 and no traceback."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))


class InvalidValue(ValueError):
    """A rejected value. The message never quotes it: it may hold a password."""


# Database addresses.


@dataclass(frozen=True)
class DatabaseURL:
    """Where a database is: `path` for SQLite, `dsn` for PostgreSQL, the rest for MySQL.

    `fallbacks` are hosts and ports to try, in order, when the first is not usable.
    """

    dialect: Literal["sqlite", "mysql", "postgresql", "clickhouse"]
    path: Path = Path()
    dsn: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = 3306
    fallbacks: tuple[tuple[str, int], ...] = ()
    name: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    ssl: Literal["", "skip-verify", "verify-ca", "verify"] = ""
    ssl_ca: str = ""
    driver: str = ""

    @property
    def identity(self) -> str:
        """A digest that tells databases apart, whoever reads them."""
        parts = urlsplit(self.dsn)
        where = (
            parts.netloc.rpartition("@")[2],
            parts.path,
            dict(parse_qsl(parts.query)).get("host"),
        )
        at = (self.dialect, self.path, where, self.host, self.port, self.unix_socket, self.name)
        return hashlib.sha256(repr(tuple(map(str, at))).encode()).hexdigest()[:16]

    @property
    def tls(self) -> str:
        """What TLS must prove: nothing (`skip-verify`), who signed, or the name too (`verify`).

        Empty when the address asks for no TLS.
        """
        return self.ssl or ("verify" if self.ssl_ca else "")


def database_url(text: str) -> DatabaseURL:
    """One of our URLs, or the text of a gateway's `SQL_DSN`."""
    scheme, found, _ = text.partition("://")
    if not found or re.search(r"@(tcp|unix)\(", text):
        return _go_dsn(text)
    if "#" in text:
        raise InvalidValue("has a #: write it as %23 in a user name or password")
    if scheme.startswith("jdbc:"):
        raise InvalidValue("is a JDBC address: write mysql://… or postgresql://…, without jdbc:")
    # SQLAlchemy names a driver behind a +.
    name, _, driver = scheme.partition("+")
    if name in ("postgres", "postgresql"):
        return _postgresql(text)
    if scheme == "sqlite":
        return _sqlite(text)
    if name in ("mysql", "mysql2", "mariadb"):
        return _mysql(text, "pymysql" if driver == "pymysql" else "")
    raise ValueError


def log_database_url(text: str) -> DatabaseURL | None:
    """The address of a gateway's `LOG_SQL_DSN`; None when it has none."""
    if not text:
        return None
    if text.startswith("clickhouse://"):
        return DatabaseURL("clickhouse")
    return database_url(text)


def _sqlite(text: str) -> DatabaseURL:
    parts = urlsplit(text)
    path = unquote(parts.path[1:])
    # A gateway's SQLITE_PATH carries settings of its own driver: `?_busy_timeout=30000`.
    foreign = any(not name.startswith("_") for name, _ in parse_qsl(parts.query, True))
    if parts.netloc or foreign or not path or path == ":memory:":
        raise ValueError
    return DatabaseURL("sqlite", path=ROOT / path)


def _postgresql(text: str) -> DatabaseURL:
    """libpq reads the address itself; parameters of the gateway's driver alone are left out.

    Refuses what libpq would reject with a message that quotes the address, password included.
    """
    parts = urlsplit(text)
    where = parts.netloc.rpartition("@")[2]
    if not parts.path.strip("/") or parts.netloc.count("@") > 1 or "/" in parts.path[1:]:
        raise ValueError
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise InvalidValue("has a % that begins no escape: write it as %25")
    for host in where.split(","):
        _host_port(host)
    known = [pair for pair in parse_qsl(parts.query) if pair[0] in _LIBPQ]
    for host in dict(known).get("host", "").split(","):
        check_host(host)
    query = f"?{urlencode(known)}" if known else ""
    dsn = f"postgresql://{parts.netloc}{parts.path}{query}"
    return DatabaseURL("postgresql", dsn=dsn, ssl=_libpq_tls(parts.query))


_LIBPQ_TLS = {"sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding"}
_LIBPQ = {"host", "port", "user", "password", "target_session_attrs", *_LIBPQ_TLS}


def _libpq_tls(query: str) -> Any:
    """What libpq checks of the server. Another driver's word for it must not be left out."""
    options = dict(parse_qsl(query))
    mode = options.get("sslmode", "prefer")
    others = {name for name in options if name.lower().startswith("ssl")} - _LIBPQ_TLS
    if others or mode not in {"allow", "prefer", *_SSL_MODES}:
        raise InvalidValue(
            "takes for TLS only sslmode (disable, allow, prefer, require, verify-ca or "
            "verify-full), sslrootcert, sslcert, sslkey and channel_binding"
        )
    if options.get("sslrootcert") == "system":
        return "verify"
    return _tls_of_mode(mode, bool(options.get("sslrootcert")))


#: `sslmode` in libpq's words, and the same in MySQL's.
_SSL_MODES = {
    "disable": "",
    "require": "skip-verify",
    "verify-ca": "verify-ca",
    "verify-full": "verify",
}
_MYSQL_SSL_MODES = {
    "disabled": "disable",
    "required": "require",
    "verify_ca": "verify-ca",
    "verify_identity": "verify-full",
}


def _tls_of_mode(mode: str, has_authority: bool) -> Any:
    """As libpq has it, an authority's certificate makes `require` check who signed."""
    tls = _SSL_MODES.get(mode, "")
    return "verify-ca" if tls == "skip-verify" and has_authority else tls


def _mysql(text: str, driver: str) -> DatabaseURL:
    parts = urlsplit(text)
    (host, port), *fallbacks = map(_host_port, parts.netloc.rpartition("@")[2].split(","))
    options = _mysql_options(parts.query)
    if not parts.path.strip("/"):
        raise ValueError
    return DatabaseURL(
        "mysql",
        host=host,
        port=port,
        fallbacks=tuple(fallbacks),
        name=unquote(parts.path.strip("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        unix_socket=options.get("unix_socket", ""),
        ssl=_mysql_tls(options),
        ssl_ca=options.get("ssl_ca", ""),
        driver={"": "", "pymysql": "pymysql"}[options.get("driver", driver)],
    )


_MYSQL_OPTIONS = ("unix_socket", "ssl", "ssl_mode", "ssl_ca", "driver", "charset", "reconnect")


def _mysql_options(query: str) -> dict[str, str]:
    """The parameters, by the spellings of `_MYSQL_OPTIONS`."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        plain = name.lower().replace("-", "_").replace("sslmode", "ssl_mode")
        if plain not in _MYSQL_OPTIONS:
            known = f"{', '.join(_MYSQL_OPTIONS[:-1])} and {_MYSQL_OPTIONS[-1]}"
            raise InvalidValue(f"takes no other parameters than {known}")
        if plain in options:
            raise InvalidValue(f"names {plain} twice")
        options[plain] = value
    # Hosts add these; the connection is utf8mb4, and made again when it is lost, as it is.
    if options.get("charset", "utf8mb4").lower() not in ("utf8", "utf8mb3", "utf8mb4"):
        raise ValueError
    return options


def _mysql_tls(options: Mapping[str, str]) -> Any:
    if "ssl_mode" not in options:
        words = {"": "", "false": "", "true": "verify", "skip-verify": "skip-verify"}
        return words[options.get("ssl", "")]
    if "ssl" in options:
        raise InvalidValue("has both ssl and ssl_mode: leave one out")
    mode, has_authority = options["ssl_mode"].lower(), bool(options.get("ssl_ca"))
    mode = _MYSQL_SSL_MODES.get(mode, mode)
    if mode not in _SSL_MODES:
        raise InvalidValue(
            "takes as ssl_mode DISABLED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY: with any other "
            "the password might travel in clear text"
        )
    if mode == "verify-ca" and not has_authority:
        raise InvalidValue(
            "has ssl_mode=VERIFY_CA without ssl_ca: any public authority could sign for the "
            "server. Add ssl_ca, or write VERIFY_IDENTITY"
        )
    return _tls_of_mode(mode, has_authority)


def _host_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return check_host(unquote(parts.hostname or "127.0.0.1")), parts.port or 3306


def check_host(host: str) -> str:
    """`host` if it can be looked up. A path is a folder of unix sockets."""
    try:
        if not host.startswith("/"):
            host.encode("idna")
    except UnicodeError as error:
        raise InvalidValue("names a host that is no host name") from error
    return host


def _go_dsn(text: str) -> DatabaseURL:
    """`user:password@tcp(host:3306)/name?…`, as go-sql-driver reads it: nothing is escaped."""
    match = re.fullmatch(
        r"(?:(?P<user>[^:]*?)(?::(?P<password>.*))?@)?"
        r"(?:(?P<protocol>tcp|unix)(?:\((?P<address>[^()]*)\))?)?"
        r"/(?P<name>[^/?]+)(?:\?(?P<query>.*))?",
        text,
        re.DOTALL,
    )
    if match is None or not (match["user"] or match["protocol"]):
        raise ValueError
    parts = match.groupdict("")
    at: dict[str, Any] = {}
    if parts["protocol"] == "unix":
        at["unix_socket"] = parts["address"]
    elif parts["address"]:
        host, port = _host_port(parts["address"])
        at = {"host": host, "port": port}
    tls = dict(parse_qsl(parts["query"])).get("tls", "false")
    if tls.lower() not in _GO_TLS:
        raise InvalidValue("has a tls that is none of true, skip-verify, preferred and false")
    return DatabaseURL(
        "mysql",
        name=parts["name"],
        user=parts["user"],
        password=parts["password"],
        ssl=_GO_TLS[tls.lower()],
        **at,
    )


#: With `preferred` the gateway does without TLS where there is none; we do not.
_GO_TLS: dict[str, Any] = {
    "false": "",
    "0": "",
    "true": "verify",
    "1": "verify",
    "skip-verify": "skip-verify",
    "preferred": "skip-verify",
}


def usage_cache(text: str) -> Path | None:
    """Where the usage cache is: None for nowhere, an empty path for the default."""
    if text == "off":
        return None
    if text.endswith(("/", ":memory:")):
        raise ValueError
    return ROOT / text if text else Path()


# Parsers of values. Each raises ValueError, KeyError or InvalidOperation for a bad one.


def boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def positive_number(text: str) -> Fraction:
    """An exact number above 0; the bounds keep every product of two within a double."""
    if not re.fullmatch(r"[0-9.]+(?:[eE][+-]?[0-9]{1,3})?", text, re.ASCII):
        raise ValueError
    value = Decimal(text)
    if not Decimal("1e-100") <= value <= Decimal("1e100"):
        raise ValueError
    return Fraction(value)


def seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(positive_number(text))
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return parse


class RateLimit(NamedTuple):
    """So many requests in so many seconds, for each client."""

    amount: int
    seconds: int


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def rate_limit(text: str) -> RateLimit | None:
    """`360 per 3 minutes`, `10 per second` or `100/minute`; None for no limit."""
    if not text:
        return None
    match = re.fullmatch(
        r"([0-9]{1,9})(?: per |/)(?:([0-9]{1,6}) )?(second|minute|hour|day)s?", text, re.ASCII
    )
    if match is None:
        raise ValueError
    limit = RateLimit(int(match[1]), int(match[2] or 1) * _SECONDS[match[3]])
    if 0 in limit:
        raise ValueError
    return limit


def rate_limit_storage(text: str) -> str:
    if text == "memory":
        return text
    host = urlsplit(text).hostname
    if not re.match("rediss?://", text) or not host:
        raise ValueError
    check_host(host)
    return text


def currency_symbol(text: str) -> str:
    if len(text) > 8 or not text.isprintable():
        raise ValueError
    return text


# The settings.


def variable(
    parse: Callable[[str], Any], default: str, accepts: str, meaning: str, *, secret: bool = False
) -> Any:
    """A field of Settings, read from the variable of the same name in capitals."""
    metadata = {"parse": parse, "default": default, "accepts": accepts, "doc": meaning}
    return field(metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """Every setting of the service, parsed and checked."""

    billing_mode: str = variable(
        choice("embedded", "attached"),
        "embedded",
        "embedded or attached",
        "Whether the database is our own, or a running gateway's, which is read and never written.",
    )
    database_url: DatabaseURL = variable(
        database_url,
        "sqlite:///billing.db",
        "sqlite:///file.db, sqlite:////absolute/file.db, mysql://user:password@host:3306/name, "
        "and, attached, postgresql://user:password@host:5432/name or a gateway's SQL_DSN",
        "Where the tables are. A relative SQLite path starts at the folder of `wsgi.py`. MySQL "
        "takes several hosts (`@h1:3306,h2:3306/`: the first usable one is used), "
        "`?unix_socket=`, `?driver=pymysql` and, for TLS, `?ssl_mode=`, `?ssl_ca=` and `?ssl=`; "
        "write `@ : / %` and `#` in a password as `%40` and so on.",
    )
    log_database_url: DatabaseURL | None = variable(
        log_database_url,
        "",
        "what DATABASE_URL accepts",
        "Attached: where the gateway's `LOG_SQL_DSN` puts its logs, when that is elsewhere. "
        "ClickHouse is not supported: all but daily costs works then.",
    )
    usage_cache: Path | None = variable(
        usage_cache,
        "",
        "a path, or off",
        "Attached: the SQLite file in which the service keeps what it has read of closed hours of "
        "the gateway's logs. A relative path starts at the folder of `wsgi.py`; unset, it is "
        "`usage-cache-….db` there, another for each gateway. `off`: every question reads the logs.",
    )
    database_timeout: float = variable(
        seconds(0.1, 60),
        "3",
        "seconds from 0.1 to 60",
        "What one request may spend on the database, its retry included.",
    )
    heavy_reads: int = variable(
        integer(1, 64),
        "2",
        "a whole number from 1 to 64",
        "How many reads that may take long (daily costs, credit grants) a worker makes at once. As "
        "many more wait, and others are refused with 503: keep it below half of the threads. "
        "It changes nothing in workers of one thread.",
    )
    quota_per_unit: Fraction = variable(
        positive_number, "500000", "a number above 0", "Quota units that make one US dollar."
    )
    display_unit: str = variable(
        choice("USD", "CNY", "TOKENS", "CUSTOM"),
        "USD",
        "USD, CNY, TOKENS or CUSTOM",
        "The unit of every amount; TOKENS is raw quota.",
    )
    usd_exchange_rate: Fraction = variable(
        positive_number, "7.3", "a number above 0", "Yuan for a dollar, when `DISPLAY_UNIT=CNY`."
    )
    custom_exchange_rate: Fraction = variable(
        positive_number, "1", "a number above 0", "Units for a dollar, when `DISPLAY_UNIT=CUSTOM`."
    )
    custom_currency_symbol: str = variable(
        currency_symbol,
        "¤",
        "up to 8 printable characters",
        "What the panel writes before amounts, when `DISPLAY_UNIT=CUSTOM`.",
    )
    billing_scope: str = variable(
        choice("token", "account", "spendable"),
        "token",
        "token, account or spendable",
        "Which figures an API token gets: token (its own), account (its owner's), or spendable "
        "(its own, what remains being at most what its owner's account can pay).",
    )
    unlimited_tokens: str = variable(
        choice("sentinel", "account"),
        "sentinel",
        "sentinel or account",
        "What an unlimited token shows: 100000000, or its owner's account.",
    )
    require_new_api_user: bool = variable(
        boolean, "false", "true or false", "Refuse callers that send no `New-Api-User`."
    )
    trusted_proxy_hops: int = variable(
        integer(0, 10),
        "0",
        "a whole number from 0 to 10",
        "Proxies in front whose `X-Forwarded-For` is believed. Exactly their count: one more lets "
        "a forged header past a token's allow-list, one fewer hides the client's address.",
    )
    options_refresh: float = variable(
        seconds(1, 86400),
        "60",
        "seconds from 1 to 86400",
        "Attached: how often the gateway's options and columns are read again.",
    )
    panel: bool = variable(
        boolean, "true", "true or false", "Serve the page for people at `/dashboard/billing/`."
    )
    default_language: str = variable(
        choice("zh", "en"),
        "zh",
        "zh or en",
        "Language of error messages when `Accept-Language` names neither.",
    )
    log_level: str = variable(
        choice("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "DEBUG, INFO, WARNING or ERROR",
        "What is logged, ours and gunicorn's.",
    )
    log_format: str = variable(
        choice("text", "json"),
        "text",
        "text or json",
        "Lines for people, or one JSON object a line, which also takes the place of gunicorn's "
        "access lines.",
    )
    metrics: bool = variable(
        boolean, "false", "true or false", "Serve `GET /metrics` to Prometheus, without a token."
    )
    rate_limit: RateLimit | None = variable(
        rate_limit,
        "",
        "a rate such as 360 per 3 minutes, 10 per second or 100/minute",
        "How many requests a client's address may make; unset for no limit.",
    )
    rate_limit_storage: str = variable(
        rate_limit_storage,
        "memory",
        "memory or redis://host:6379/0",
        "Where they are counted: in each worker by itself, or in a Redis that all share. While "
        "Redis is away nobody is refused.",
        secret=True,
    )
    port: int = variable(
        integer(1, 65535),
        "8000",
        "a port from 1 to 65535",
        "Where gunicorn listens: on every address when set, else on 127.0.0.1.",
    )
    web_concurrency: int = variable(
        integer(1, 256), "2", "a whole number from 1 to 256", "Worker processes of gunicorn."
    )
    web_threads: int = variable(
        integer(1, 64),
        "8",
        "a whole number from 1 to 64",
        "Threads of each, every one with a database connection of its own. With 1, without nginx "
        "in front, two slow clients make everybody wait.",
    )
    #: Names of the variables that the environment sets.
    set_by_environment: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises SettingsError, which names every bad variable but repeats no value."""
        values: dict[str, Any] = {}
        set_names, errors = set(), []
        for setting in variables():
            name, meta = setting.name.upper(), setting.metadata
            text = env.get(name, "").strip()
            if text:
                set_names.add(name)
            else:
                text = meta["default"]
            try:
                values[setting.name] = meta["parse"](text)
            except (ValueError, KeyError, InvalidOperation) as error:
                reason = (
                    str(error) if isinstance(error, InvalidValue) else f"must be {meta['accepts']}"
                )
                errors.append(f"{name} {reason}")
        if not errors and values["billing_mode"] == "embedded":
            errors = _embedded_errors(values["database_url"])
        if errors:
            raise SettingsError(errors)
        return cls(**values, set_by_environment=frozenset(set_names))

    @property
    def usage_cache_path(self) -> Path | None:
        """None where there is nothing to remember, or nowhere to."""
        if self.billing_mode == "embedded" or self.usage_cache is None:
            return None
        logs = self.log_database_url or self.database_url
        default = ROOT / f"usage-cache-{logs.identity}.db"
        return default if self.usage_cache == Path() else self.usage_cache

    def with_options(self, options: Mapping[str, str]) -> tuple[Settings, list[str]]:
        """These settings with the variables that the environment leaves open set to `options`.

        Returns also the names of the options whose value is invalid: they count as absent.
        """
        values, invalid = {}, []
        for setting in variables():
            name = setting.name.upper()
            if name in options and name not in self.set_by_environment:
                try:
                    values[setting.name] = setting.metadata["parse"](options[name])
                except (ValueError, KeyError, InvalidOperation):
                    invalid.append(name)
        return replace(self, **values), invalid


# Checks across variables.


def _embedded_errors(url: DatabaseURL) -> list[str]:
    if url.dialect != "postgresql":
        return []
    return [
        "DATABASE_URL is a PostgreSQL address (some hosts set it unasked): our own tables live in "
        "SQLite or MySQL (sqlite:///billing.db, mysql://…); BILLING_MODE=attached reads a gateway's"
    ]


def variables() -> list[Field[Any]]:
    """The fields of Settings that an environment variable sets."""
    return [setting for setting in fields(Settings) if "parse" in setting.metadata]
