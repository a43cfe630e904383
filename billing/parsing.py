"""Parses the values that people and programs write: times, dollars, names.

Every function raises ValueError, whose text says what the value is not.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from billing.quota import MAX_QUOTA

#: The last second that a four-digit year can name.
_LAST_SECOND = 253402300799


def parse_timestamp(text: str, zone: tzinfo = UTC) -> int:
    """Unix seconds, from unix seconds or ISO 8601 (in `zone` unless it says otherwise)."""
    try:
        # Eight digits are a date (20261231), never the seconds of 1970.
        if re.fullmatch("[0-9]{9,12}", text, re.ASCII):
            moment = int(text)
        else:
            parsed = datetime.fromisoformat(text)
            moment = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ValueError("not a date, an ISO 8601 time or unix seconds") from error
    if not 0 < moment <= _LAST_SECOND:
        raise ValueError("not a time from 1970 to 9999")
    return moment


def check_dollars(text: str) -> str:
    """`text` if it is spelled as a number from 0."""
    if not re.fullmatch(r"[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,2})?", text, re.ASCII):
        raise ValueError("not a number of dollars from 0")
    return text


def usd_to_quota(text: str, quota_per_unit: Fraction) -> int:
    """Dollars as quota units, rounded to the nearest unit, halves to even."""
    check_dollars(text)
    try:
        quota = round(Fraction(Decimal(text)) * quota_per_unit)
    except InvalidOperation as error:
        raise ValueError("not a number of dollars from 0") from error
    if quota > MAX_QUOTA:
        raise ValueError("more than 2^53 quota units")
    return quota


def check_text(text: str, longest: int) -> str:
    """`text` if tables and terminals hold it as it is, and no collation trims it."""
    if not 0 < len(text) <= longest or not text.isprintable() or text != text.strip():
        raise ValueError(f"not 1 to {longest} printable characters")
    return text
