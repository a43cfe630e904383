"""Reads and checks the environment; the only file that does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

ROOT = Path(__file__).resolve().parent


class SettingsError(SystemExit):
    """Every bad variable, one line each; ends a start-up with status 1 and no traceback."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class DatabaseURL:
    """Where the database is. `path` for SQLite, the other fields for MySQL."""

    dialect: Literal["sqlite", "mysql"]
    path: Path = Path()
    host: str = ""
    port: int = 0
    name: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    ssl: bool = False
    ssl_ca: str = ""


def database_url(text: str) -> DatabaseURL:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError from error
    if "#" in text:
        # It would cut the rest off, and `billing#2.db` would be another file.
        raise ValueError
    if parts.scheme in ("postgres", "postgresql"):
        raise ValueError(
            "is a PostgreSQL address (some hosts set it unasked); "
            "our own tables live in SQLite or MySQL: sqlite:///billing.db or mysql://…"
        )
    if parts.scheme == "sqlite" and not parts.netloc and not parts.query:
        path = unquote(parts.path[1:])
        if path and path != ":memory:":
            return DatabaseURL("sqlite", path=ROOT / path)
    if parts.scheme == "mysql" and parts.path.strip("/"):
        return DatabaseURL(
            "mysql",
            host=unquote(parts.hostname or "127.0.0.1"),
            port=port or 3306,
            name=unquote(parts.path.strip("/")),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            **_mysql_options(parts.query),
        )
    raise ValueError


def _mysql_options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"unix_socket", "ssl", "ssl_ca"}:
        raise ValueError("takes no other parameters than unix_socket, ssl and ssl_ca")
    if "ssl" in options:
        options["ssl"] = boolean(options["ssl"])
    return options


def boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def number(text: str) -> Fraction:
    """An exact number above 0; the bounds keep every product of two within a double."""
    if not re.fullmatch(r"[0-9.]+(?:[eE][+-]?[0-9]{1,3})?", text, re.ASCII):
        raise ValueError
    value = Decimal(text)
    if not Decimal("1e-100") <= value <= Decimal("1e100"):
        raise ValueError
    return Fraction(value)


def seconds(text: str) -> float:
    value = float(number(text))
    if not 0.1 <= value <= 60:
        raise ValueError
    return value


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return parse


def variable(parse: Callable[[str], Any], default: str, accepts: str, meaning: str) -> Any:
    """A field of Settings, read from the variable of the same name in capitals."""
    return field(metadata={"parse": parse, "default": default, "accepts": accepts, "doc": meaning})


@dataclass(frozen=True)
class Settings:
    """Every setting of the service, parsed and checked."""

    database_url: DatabaseURL = variable(
        database_url,
        "sqlite:///billing.db",
        "sqlite:///file.db, sqlite:////absolute/file.db or mysql://user:password@host:3306/name",
        "Where the tables are. A relative SQLite path starts at the folder of `wsgi.py`. MySQL "
        "takes `?unix_socket=`, `?ssl=true` and `?ssl_ca=`; write `@ : / %` in a password as `%40`",
    )
    database_timeout: float = variable(
        seconds,
        "3",
        "seconds from 0.1 to 60",
        "What one request may spend on the database, its retry included.",
    )
    quota_per_unit: Fraction = variable(
        number, "500000", "a number above 0", "Quota units that make one US dollar."
    )
    display_unit: str = variable(
        one_of("USD", "CNY", "TOKENS", "CUSTOM"),
        "USD",
        "USD, CNY, TOKENS or CUSTOM",
        "The unit of every amount; TOKENS is raw quota.",
    )
    usd_exchange_rate: Fraction = variable(
        number, "7.3", "a number above 0", "Yuan for a dollar, when `DISPLAY_UNIT=CNY`."
    )
    custom_exchange_rate: Fraction = variable(
        number, "1", "a number above 0", "Units for a dollar, when `DISPLAY_UNIT=CUSTOM`."
    )
    billing_scope: str = variable(
        one_of("token", "account"),
        "token",
        "token or account",
        "Whether a token is shown its own figures or its owner's.",
    )
    unlimited_tokens: str = variable(
        one_of("sentinel", "account"),
        "sentinel",
        "sentinel or account",
        "What an unlimited token shows: 100000000, or its owner's account.",
    )
    require_new_api_user: bool = variable(
        boolean, "false", "true or false", "Refuse callers that send no `New-Api-User`."
    )
    trusted_proxy_hops: int = variable(
        whole(0, 10),
        "0",
        "a whole number from 0 to 10",
        "Proxies in front whose `X-Forwarded-For` is believed. Exactly their count: one more lets "
        "a forged header past a token's allow-list, one fewer hides the client's address.",
    )
    default_language: str = variable(
        one_of("zh", "en"),
        "zh",
        "zh or en",
        "Language of error messages when `Accept-Language` names neither.",
    )
    log_level: str = variable(
        one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "DEBUG, INFO, WARNING or ERROR",
        "What is logged, ours and gunicorn's.",
    )
    port: int = variable(
        whole(1, 65535),
        "8000",
        "a port from 1 to 65535",
        "Where gunicorn listens: on every address when set, else on 127.0.0.1.",
    )
    web_concurrency: int = variable(
        whole(1, 256), "2", "a whole number from 1 to 256", "Worker processes of gunicorn."
    )
    #: Names of the variables that the environment set.
    given: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises SettingsError, which names every bad variable but repeats no value."""
        values: dict[str, Any] = {}
        given, errors = set(), []
        for setting in variables():
            name, meta = setting.name.upper(), setting.metadata
            text = env.get(name, "").strip()
            if text:
                given.add(name)
            else:
                text = meta["default"]
            try:
                values[setting.name] = meta["parse"](text)
            except (ValueError, KeyError, InvalidOperation) as error:
                reason = isinstance(error, ValueError) and str(error)
                errors.append(f"{name} {reason or 'must be ' + meta['accepts']}")
        if errors:
            raise SettingsError(errors)
        return cls(**values, given=frozenset(given))


def variables() -> list[Field[Any]]:
    """The fields of Settings that an environment variable sets."""
    return [setting for setting in fields(Settings) if "parse" in setting.metadata]
