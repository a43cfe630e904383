"""OpenAI's usage routes of today: costs, and what completions used, in pages of buckets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from flask import Blueprint, g, request

from billing.core.daily_costs import PeriodCosts, daily_costs
from billing.core.hour import Hour
from billing.core.service import Service, current_service
from billing.core.token_names import TokenName, TokenNames, token_names
from billing.web.answers import with_unit
from billing.web.auth import authenticate
from billing.web.buckets import by_bucket, known_fields
from billing.web.json_response import JSONResponse
from billing.web.page_params import COMPLETIONS, COSTS, Page, parse_page
from billing.web.schemas import CompletionsPageSchema, CostPageSchema, dump

organization = Blueprint("organization", __name__)
organization.before_request(authenticate)

_costs, _completions = CostPageSchema(), CompletionsPageSchema()


class _Group(NamedTuple):
    """What one result is grouped by: a model and a token; None for a group over all of them."""

    model: str | None
    token: TokenName | None


@organization.get("/costs")
def costs() -> JSONResponse:
    """In dollars whatever the display unit, in whole days."""
    page = parse_page(request.args, int(time.time()), COSTS)
    service = current_service()
    dollars = 1 / service.settings.quota_per_unit

    def result(group: _Group, total: Hour) -> dict[str, Any]:
        return {"amount": {"value": total.quota * dollars}, "line_item": group.model}

    return with_unit("USD", dump(_costs, **_page(service, page, result)))


@organization.get("/usage/completions")
def completions() -> dict[str, Any]:
    """Tokens and requests; new-api's own sums of the days before its logs do not know tokens."""
    page = parse_page(request.args, int(time.time()), COMPLETIONS)

    def result(group: _Group, total: Hour) -> dict[str, Any]:
        return {
            "input_tokens": total.prompt_tokens,
            "output_tokens": total.completion_tokens,
            "num_model_requests": total.requests,
            "model": group.model,
        }

    return dump(_completions, **_page(current_service(), page, result, logs_alone=True))


def _page(
    service: Service,
    page: Page,
    result: Callable[[_Group, Hour], dict[str, Any]],
    logs_alone: bool = False,
) -> dict[str, Any]:
    """The body of a page, with a `result` for each group of each bucket."""
    found, names = _find(service, page, logs_alone)
    data = []
    for start, end, hours in by_bucket(page.period, found):
        results = []
        for group, total in _groups(page, hours, names):
            token = group.token
            more = {} if token is None else {"api_key_id": token.id, "api_key_name": token.name}
            results.append({**result(group, total), **more})
        data.append({"start_time": start, "end_time": end, "results": results})
    body = {"data": data, "has_more": page.next is not None, "next_page": page.next}
    return {**body, **known_fields(found)}


def _find(service: Service, page: Page, logs_alone: bool) -> tuple[PeriodCosts, TokenNames | None]:
    """What the caller may see of the page, one token's or the account's, and passes its filters.

    Filters that name no work of the caller's find nothing: there are no projects.
    """
    user, token = g.caller.user, service.token_in_scope(g.caller.token)
    if page.project_ids or (page.user_ids and str(user.id) not in page.user_ids):
        return PeriodCosts([], 0, 0), None
    by_token = bool(page.by_token or page.token_ids)
    found = daily_costs(
        service,
        user,
        token,
        page.period,
        by_token=by_token,
        # new-api's own sums tell tokens apart only since July 2026.
        logs_alone=logs_alone or bool(page.token_ids),
    )
    names = token_names(service, user, g.caller.token) if by_token else None
    costs = [
        cost
        for cost in found.costs
        if (not page.models or cost.model in page.models)
        and (names is None or not page.token_ids or names.name(cost.token).id in page.token_ids)
    ]
    return found._replace(costs=costs), names


def _groups(
    page: Page, hours: Iterable[Hour], names: TokenNames | None
) -> Iterator[tuple[_Group, Hour]]:
    """The groups of one bucket and their sums, the most expensive first."""
    sums: dict[_Group, Hour] = {}
    for hour in hours:
        token = names.name(hour.token) if names is not None and page.by_token else None
        group = _Group(hour.model if page.by_model else None, token)
        sums[group] = sums[group].add(hour) if group in sums else hour
    return iter(sorted(sums.items(), key=lambda item: (-item[1].quota, str(item[0]))))
