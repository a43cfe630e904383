"""Click types and options that several commands share: numbers, times, names, amounts of quota."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, tzinfo
from fractions import Fraction
from ipaddress import ip_network
from typing import Any

import click

from billing.core.days import time_zone
from billing.core.service import current_service
from billing.database.models import ALLOW_LIST_NETWORKS
from billing.parsing import check_text, parse_timestamp, usd_to_quota
from billing.quota import MAX_QUOTA, MAX_TOKENS


class IntegerRange(click.ParamType[Any]):
    """A whole number within bounds; a text of any length is refused in one short line."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        short = re.fullmatch("[0-9]{1,19}", str(value), re.ASCII)
        if not short or not self.low <= int(value) <= self.high:
            self.fail(f"not a whole number from {self.low} to {self.high}", param, ctx)
        return int(value)


class Timestamp(click.ParamType[Any]):
    """A DATE (00:00 UTC), an ISO 8601 time, unix seconds, or `+30d` from now."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_moment(text: str, zone: tzinfo = UTC) -> int:
    """Unix seconds of what a Timestamp takes; dates and times are in `zone`. Raises ValueError."""
    try:
        if match := re.fullmatch(r"\+([0-9]{1,6})([dhm])", text, re.ASCII):
            unit = {"d": 86400, "h": 3600, "m": 60}[match[2]]
            return parse_timestamp(str(int(time.time()) + int(match[1]) * unit))
        return parse_timestamp(text, zone)
    except ValueError as error:
        raise ValueError(f"{error}, nor like +30d") from error


class Zone(click.ParamType[Any]):
    """The IANA name of a time zone."""

    name = "zone"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return time_zone(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Expiry(Timestamp):
    """A Timestamp, or `never`, stored as -1."""

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return -1 if value == "never" else super().convert(value, param, ctx)


class Network(click.ParamType[Any]):
    """An address or network, IPv4 or IPv6."""

    name = "cidr"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            # Not fe80::1%eth0: a zone takes any text, and means nothing elsewhere.
            ip_network(value.replace("%", " "), strict=False)
        except ValueError:
            self.fail("takes an address or a network like 10.0.0.0/8", param, ctx)
        return str(value)


def allow_list(networks: tuple[str, ...]) -> str:
    """The networks as a token's allow-list. Raises UsageError for more than are read."""
    if len(networks) > ALLOW_LIST_NETWORKS:
        raise click.UsageError(f"give --allow-ip at most {ALLOW_LIST_NETWORKS} times")
    return "\n".join(networks)


class PrintableText(click.ParamType[Any]):
    """Printable text that no collation trims, of at most so many characters."""

    name = "text"

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return check_text(value, self.longest)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DisplayAmount(click.ParamType[Any]):
    """An amount in display units, 0 or more, exact."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> Fraction:
        if isinstance(value, Fraction):
            return value
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", value, re.ASCII):
            self.fail("not a number from 0, such as 5 or 0.50", param, ctx)
        return Fraction(value)


below_option = click.option(
    "--below",
    type=DisplayAmount(),
    help="Only those that can spend less, in the display unit.",
)

NAME = PrintableText(64)
ID = IntegerRange(1, 2**63 - 1)
AMOUNT = IntegerRange(0, MAX_QUOTA)
TOKENS = IntegerRange(0, MAX_TOKENS)


def amount_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--usd` and `--quota`, which `amount` reads."""
    for option in (
        click.option("--quota", type=AMOUNT, help="In quota units."),
        click.option("--usd", help="In US dollars, rounded to the nearest quota unit."),
    ):
        function = option(function)
    return function


def amount(usd: str | None, quota: int | None, required: bool = True) -> int:
    """The quota that the options name; 0 for neither, where that is allowed."""
    if quota is not None and usd is None:
        return quota
    if usd is None or quota is not None:
        if not required and quota is None:
            return 0
        raise click.UsageError("give one of --usd and --quota")
    try:
        return usd_to_quota(usd, current_service().settings.quota_per_unit)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--usd") from error
