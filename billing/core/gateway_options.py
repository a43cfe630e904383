"""Reads a gateway's options as our own settings (docs/gateways.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

#: Options that are one variable each. The settings check the numbers.
_NUMBERS = {
    "QuotaPerUnit": "QUOTA_PER_UNIT",
    "USDExchangeRate": "USD_EXCHANGE_RATE",
    "general_setting.custom_currency_exchange_rate": "CUSTOM_EXCHANGE_RATE",
}

_OTHERS = {
    "DisplayInCurrencyEnabled",
    "general_setting.quota_display_type",
    "general_setting.custom_currency_symbol",
    "DisplayTokenStatEnabled",
}

_UNITS = {"USD", "CNY", "TOKENS", "CUSTOM"}

#: What Go's ParseFloat takes in a number and we do not: `500_000` and `+5`.
_GO_SPELLING = re.compile(r"(?<=[0-9])_(?=[0-9])|^\+")


def settings_from_options(
    rows: Iterable[tuple[str, str]], read: Container[str] | None = None
) -> dict[str, str]:
    """Our variables and their texts from rows of `options`, the later of two rows winning.

    `read` are the options that the gateway itself reads, None for all. As in the gateways, only the
    exact text `true` is true, and no unit but the four is one.
    """
    found: dict[str, str] = {}
    for key, value in rows:
        if read is not None and key not in read:
            continue
        if key in _NUMBERS:
            found[_NUMBERS[key]] = _GO_SPELLING.sub("", value)
        elif key == "DisplayInCurrencyEnabled":
            found["DISPLAY_UNIT"] = "USD" if value == "true" else "TOKENS"
        elif key == "general_setting.quota_display_type":
            found["DISPLAY_UNIT"] = value if value in _UNITS else "USD"
        elif key == "general_setting.custom_currency_symbol":
            if value.isprintable() and value.strip():
                found["CUSTOM_CURRENCY_SYMBOL"] = value.strip()[:8]
        elif key == "DisplayTokenStatEnabled":
            found["BILLING_SCOPE"] = "token" if value == "true" else "account"
    return found


def deciding_keys(rows: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The keys of those rows of `options` that decide a setting of ours."""
    return frozenset(key for key, _ in rows if key in _NUMBERS or key in _OTHERS)
