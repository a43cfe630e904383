"""Reads `tokens.setting`, the JSON in which one-hub and done-hub keep a token's restrictions.

They decode it by Go's encoding/json, and so is it read here, lest a list that they enforce be
missed: names match in any case, a later member of one name is laid over an earlier one, null leaves
everything as it was, and a value of another type is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn


class TokenSetting(NamedTuple):
    """What a setting says. `whitelist` are its entries as they are written, none for no limit.

    `models` are those that the token may use; None for all.
    """

    whitelist: tuple[str, ...] = ()
    #: The paths of members that no known version of the gateways has, unless they are off.
    unknown: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None


#: The members that are known, and the type of each; `list` is a list of texts.
_MEMBERS: Mapping[str, Any] = {
    "heartbeat": {"enabled": bool, "timeout_seconds": int},
    "limits": {
        "limit_model_setting": {"enabled": bool, "models": list},
        "limits_ip_setting": {"enabled": bool, "whitelist": list},
    },
    "billing_tag": str,
}

#: Members of earlier versions, which the gateways read no more.
_OBSOLETE = {"limits.enabled", "limits.models"}


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, in their order and with duplicates."""


def parse_setting(stored: object) -> TokenSetting:
    """Raises ValueError when the gateways could not decode it; they refuse the token then.

    `stored` is the column's value. SQLite makes a number of a text that reads as one.
    """
    if stored is None:
        return TokenSetting()
    if not isinstance(stored, str | bytes):
        raise ValueError("the setting is no object")
    try:
        value = json.loads(stored, object_pairs_hook=_Pairs, parse_constant=_refuse)
        setting: dict[str, Any] = {}
        unknown: list[str] = []
        _lay_over(setting, value, _MEMBERS, "", unknown)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    limits = setting.get("limits", {})
    addresses = limits.get("limits_ip_setting", {})
    entries = addresses.get("whitelist", ()) if addresses.get("enabled") else ()
    names = limits.get("limit_model_setting", {})
    models = tuple(names.get("models", ())) if names.get("enabled") else None
    return TokenSetting(tuple(entries), tuple(unknown), models)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _lay_over(
    setting: dict[str, Any],
    value: object,
    members: Mapping[str, Any],
    path: str,
    unknown: list[str],
) -> None:
    """Set what the object `value` says, as Go decodes an object into a struct."""
    if value is None:
        return
    if not isinstance(value, _Pairs):
        raise ValueError(f"{path or 'the setting'} is no object")
    for written, member in value:
        name = next((name for name in members if _is_name(written, name)), None)
        if name is None:
            if path + written not in _OBSOLETE and not _is_off(member):
                unknown.append(path + written)
        elif isinstance(members[name], Mapping):
            inner = setting.setdefault(name, {})
            _lay_over(inner, member, members[name], f"{path}{name}.", unknown)
        elif members[name] is list:
            setting[name] = _texts(member)
        elif type(member) is members[name]:
            setting[name] = member
        elif member is not None:
            raise ValueError(f"{path}{name} has a wrong type")


def _is_name(written: str, name: str) -> bool:
    return len(written) == len(name) and written.casefold() == name


def _texts(value: object) -> list[str]:
    """The texts of a list, "" for a null in it; null is an empty list."""
    if value is None:
        return []
    if not isinstance(value, list) or isinstance(value, _Pairs):
        raise ValueError("a list has a wrong type")
    if not all(text is None or isinstance(text, str) for text in value):
        raise ValueError("a list has an entry that is no text")
    return [text or "" for text in value]


def _is_off(member: object) -> bool:
    """Whether an unknown member has no effect: it is empty, or its `enabled` is false."""
    if isinstance(member, _Pairs) and member:
        return any(name.casefold() == "enabled" and value is False for name, value in member)
    return not member
