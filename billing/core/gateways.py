"""Which gateway made the tables, and what it does that no column says (docs/gateways.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.database.columns import TableColumns


@dataclass(frozen=True)
class Gateway:
    """What is known of a gateway; `name` is for the operator, with a guess at its version."""

    name: str
    #: Those of the options that decide our figures which it reads; None for all.
    options: frozenset[str] | None = None
    #: What it does where our variables have another default.
    defaults: Mapping[str, str] = field(default_factory=dict)


#: What our own tables count as, and those that are not looked up yet.
UNKNOWN = Gateway("unknown: a fork, or a one-api before its subnets")

_HUB_OPTIONS = frozenset({"QuotaPerUnit", "DisplayInCurrencyEnabled"})


def identify_gateway(columns: TableColumns) -> Gateway:
    """The gateway that makes such tables, judged by the columns that are there."""
    if _is_hub(columns):
        return _hub(columns)
    if columns.columns["user_subscriptions"]:
        return Gateway("new-api, v0.10.8 or later")
    if columns.has("logs", "ip"):
        return Gateway("new-api, v0.9 or later")
    if columns.has("tokens", "allow_ips"):
        return Gateway("new-api, v0.4 to v0.8")
    if columns.columns["quota_data"] or columns.has("tokens", "deleted_at"):
        return Gateway("new-api, before v0.4")
    if columns.has("tokens", "subnet"):
        return Gateway("one-api")
    return UNKNOWN


def _is_hub(columns: TableColumns) -> bool:
    """Whether it is one-hub or its fork done-hub: by a column since v0.14.16, or by tables."""
    if columns.has("tokens", "setting") and not columns.has("tokens", "allow_ips"):
        return True
    return bool(columns.columns["user_groups"] and columns.columns["statistics"])


def _hub(columns: TableColumns) -> Gateway:
    """one-hub or done-hub. done-hub before v1.3.0 looks and behaves like one-hub.

    done-hub obeys `DisplayTokenStatEnabled` from v1.22.9 on; `cost_quota` came three days earlier.
    """
    options = _HUB_OPTIONS
    if columns.columns["invite_codes"] or columns.has("users", "linuxdo_id"):
        name = "done-hub, v1.3.0 to v1.21"
        if columns.has("statistics", "cost_quota"):
            name = "done-hub, v1.22 or later"
            options |= {"DisplayTokenStatEnabled"}
    elif columns.has("tokens", "setting"):
        name = "one-hub, v0.14.16 or later"
    else:
        name = "one-hub, v0.13.0 to v0.14.15"
    return Gateway(name, options, {"UNLIMITED_TOKENS": "account"})
