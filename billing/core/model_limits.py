"""Which models a gateway's token may be used for; our own tokens know no such limit."""

from __future__ import annotations

from typing import NamedTuple

from peewee import Query

from billing.core.service import Service
from billing.core.token_setting import parse_setting
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import GatewayToken
from billing.database.queries import TokenRow, is_true


class ModelLimits(NamedTuple):
    """The models that are listed, and whether the gateway obeys the list."""

    enabled: bool = False
    models: tuple[str, ...] = ()


def model_limits(service: Service, token: TokenRow | None) -> ModelLimits:
    """The token's limits; none for an access token. Raises as Database.fetch does.

    new-api and one-api have them in columns, one-hub and done-hub in `setting`. Only one route
    shows them: they are no part of the read that every request makes.
    """
    if token is None or not service.attached:
        return ModelLimits()
    columns = service.database.table_columns()
    if columns.has("tokens", "model_limits"):
        for listed, enabled in service.database.fetch(_of_newapi, token.id):
            return ModelLimits(is_true(enabled), _names(listed))
    if columns.has("tokens", "models"):
        for (listed,) in service.database.fetch(_of_oneapi, token.id):
            return ModelLimits(bool(listed), _names(listed))
    models = parse_setting(token.setting).models
    return ModelLimits() if models is None else ModelLimits(True, models)


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (listed or "").split(",")))


def _of_newapi(columns: TableColumns) -> Query:
    selected = (GatewayToken.model_limits, GatewayToken.model_limits_enabled)
    return GatewayToken.select(*selected).where(GatewayToken.id == PLACEHOLDER)


def _of_oneapi(columns: TableColumns) -> Query:
    return GatewayToken.select(GatewayToken.models).where(GatewayToken.id == PLACEHOLDER)
