"""The lines of `flask usage import`: one JSON object for each use or refund."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, BinaryIO

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from billing.core.recording import Usage
from billing.parsing import check_dollars, check_text, parse_timestamp, usd_to_quota


class TimestampField(fields.Field[int]):
    """Unix seconds from unix seconds or ISO 8601."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        try:
            return parse_timestamp(str(value))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class NameField(fields.String):
    """A model or an id: text that tables and collations hold as it is."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> str:
        try:
            return check_text(super()._deserialize(value, attr, data, **more), 64)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class CountField(fields.Integer):
    """A whole number from 0 to 2^`power`, written as one."""

    def __init__(self, power: int = 53, **more: Any) -> None:
        limits = validate.Range(0, 2**power, error=f"not a whole number from 0 to 2^{power}")
        super().__init__(strict=True, validate=limits, **more)


class DollarsField(fields.Decimal):
    """Dollars as a number, or as a text that is spelled like one: no blanks, no underscores."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> Decimal:
        try:
            if isinstance(value, str):
                check_dollars(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return super()._deserialize(value, attr, data, **more)


class FlagField(fields.Boolean):
    """`true` or `false`; 1 is neither."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class UsageLineSchema(Schema):
    """One line; `docs/commands.md` describes the fields."""

    token_id = CountField(required=True)
    model = NameField(required=True)
    quota = CountField(allow_none=True)
    usd = DollarsField(allow_none=True)
    prompt_tokens = CountField(power=40)
    completion_tokens = CountField(power=40)
    at = TimestampField(allow_none=True)
    request_id = NameField(allow_none=True)
    refund = FlagField()

    class Meta:
        unknown = RAISE


_SCHEMA = UsageLineSchema()

#: A longer line is refused, and not kept in memory.
_MAX_LINE_BYTES = 2**20


def read_lines(file: BinaryIO, on_read: Callable[[int], object]) -> Iterator[bytes]:
    """The lines of a file; of one that is too long so much that `parse_usage_line` refuses it.

    `on_read` is called with the number of bytes of each read.
    """
    while line := file.readline(_MAX_LINE_BYTES + 1):
        on_read(len(line))
        part = line
        while part and not part.endswith(b"\n"):
            part = file.readline(_MAX_LINE_BYTES)
            on_read(len(part))
        yield line


class _RepeatedField(ValueError):
    """One object names a field twice: JSON does not say which value counts."""


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedField("a field is given twice")
    return found


def parse_usage_line(line: bytes, quota_per_unit: Fraction) -> Usage:
    """The usage that a line describes, its dollars converted to quota units.

    Raises ValueError, whose text says what is wrong with the line.
    """
    if len(line) > _MAX_LINE_BYTES:
        raise ValueError(f"longer than {_MAX_LINE_BYTES} bytes")
    try:
        data = json.loads(line, parse_float=Decimal, object_pairs_hook=_unique_fields)
    except _RepeatedField:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    try:
        values = _SCHEMA.load(data)
    except ValidationError as error:
        raise ValueError(_describe(error.messages)) from error
    usd, quota = values.pop("usd", None), values.pop("quota", None)
    if (usd is None) == (quota is None):
        raise ValueError("give one of quota and usd")
    if usd is not None:
        try:
            quota = usd_to_quota(str(usd), quota_per_unit)
        except ValueError as error:
            raise ValueError(f"usd: {error}") from error
    return Usage(quota=quota, **values)


def _describe(messages: Any) -> str:
    """One short printable line, whatever the file calls its fields."""
    if "_schema" in messages:
        return "not a JSON object"
    reasons = (f"{name}: {' '.join(texts).rstrip('.')}" for name, texts in messages.items())
    return "".join(char if char.isprintable() else "?" for char in "; ".join(reasons))[:200]
