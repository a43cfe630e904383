"""The body of daily costs: days by model, and for an account by token too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from werkzeug.datastructures import MultiDict

from billing.core.daily_costs import PeriodCosts, daily_costs
from billing.core.hour import Hour
from billing.core.own_tokens import OwnToken, own_tokens
from billing.core.service import Service
from billing.core.token_names import TokenName, TokenNames
from billing.database.queries import TokenRow, UserRow
from billing.web.buckets import by_bucket, known_fields
from billing.web.query_params import parse_dates, values
from billing.web.schemas import DailyUsageSchema, dump

_schema = DailyUsageSchema()


def daily_usage(
    service: Service, user: UserRow, token: TokenRow | None, query: MultiDict[str, str]
) -> dict[str, Any]:
    """What the caller may see of the period: one token's costs, or the account's.

    Only with an access token is usage broken down by token.
    """
    period = parse_dates(query)
    balance, _ = service.visible_balance(user, token)
    in_scope = service.token_in_scope(token)
    ids = frozenset(values(query, "api_key_ids")) if token is None else frozenset()
    by_token = token is None and ("api_key_id" in values(query, "group_by") or bool(ids))
    # new-api's own sums of the days before its logs tell tokens apart only since July 2026.
    found = daily_costs(service, user, in_scope, period, by_token=by_token, logs_alone=bool(ids))
    fields = _unknown(service, in_scope, found)
    if by_token:
        tokens = own_tokens(service, user)
        names = TokenNames({each.id: each.name for each in tokens})
        fields["api_keys"] = _api_keys(service, tokens, names, found.costs)
        if ids:
            costs = [cost for cost in found.costs if names.name(cost.token).id in ids]
            found = found._replace(costs=costs, refunded=sum(cost.refunded for cost in costs))
        found = found.by_model()
    hundredths = service.display.hundredths
    return dump(
        _schema,
        total_usage=hundredths(balance.used),
        daily_costs=[
            {
                "timestamp": day,
                "line_items": [{"name": cost.model, **_sums(service, cost)} for cost in costs],
            }
            for day, _, costs in by_bucket(period, found)
        ],
        period_usage=hundredths(sum(cost.quota for cost in found.costs)),
        period_refunded=hundredths(found.refunded),
        **fields,
    )


def _sums(service: Service, cost: Hour) -> dict[str, Any]:
    return {
        "cost": service.display.nearest_hundredths(cost.quota),
        "prompt_tokens": cost.prompt_tokens,
        "completion_tokens": cost.completion_tokens,
        "requests": cost.requests,
    }


def _unknown(service: Service, token: TokenRow | None, found: PeriodCosts) -> dict[str, Any]:
    """Fields that are there only where figures are not: days without logs, uncounted usage."""
    fields: dict[str, Any] = {**known_fields(found)}
    if token is not None and not service.counts_usage_of(token):
        fields["total_usage_counted"] = False
    return fields


def _api_keys(
    service: Service, tokens: list[OwnToken], names: TokenNames, costs: Iterable[Hour]
) -> list[dict[str, Any]]:
    """The tokens that are there, and who else used something in the period; the dearest first."""
    sums: dict[TokenName, Hour] = {}
    for cost in costs:
        name = names.name(cost.token)
        sums[name] = sums[name].add(cost) if name in sums else cost
    there = {str(token.id): token for token in tokens if not token.is_deleted}
    unused = Hour(0, None, "", 0, 0, 0, 0, 0)
    for token in there.values():
        sums.setdefault(TokenName(str(token.id), token.name), unused)
    ranked = sorted(sums.items(), key=lambda item: (-item[1].quota, str(item[0])))
    return list(_described(service, ranked, there))


def _described(
    service: Service, ranked: Iterable[tuple[TokenName, Hour]], there: dict[str, OwnToken]
) -> Iterator[dict[str, Any]]:
    """Of a token that is deleted or not known, only what it used in the period."""
    display = service.display
    for name, total in ranked:
        row = {"id": name.id, "name": name.name, **_sums(service, total)}
        if token := there.get(name.id or ""):
            row |= {
                "remaining": float(display.available(token.balance)),
                "used": float(display.amount(token.balance.used)),
                "unlimited": token.balance.unlimited,
                "last_used_at": token.last_used_at,
            }
        yield row
