"""Which models a gateway's token may be used for; our own tokens know no such limit."""

from __future__ import annotations

from typing import NamedTuple

from peewee import Query

from billing.core.service import Service
from billing.core.token_setting import parse_setting
from billing.database.columns import PLACEHOLDER, TableColumns
from billing.database.models import GatewayToken
from billing.database.queries import TokenRow


class ModelLimits(NamedTuple):
    """The models that are listed, and whether the gateway obeys the list."""

    enabled: bool = False
    models: tuple[str, ...] = ()


def model_limits(service: Service, token: TokenRow | None) -> ModelLimits:
    """The token's limits; none for an access token. Raises as Database.fetch does.

    new-api has them in columns, one-hub and done-hub in `setting`. Only one route shows them: they
    are no part of the read that every request makes.
    """
    if token is None or not service.attached:
        return ModelLimits()
    columns = service.database.table_columns()
    if not (
        columns.has("tokens", "model_limits") and columns.has("tokens", "model_limits_enabled")
    ):
        models = parse_setting(token.setting).models
        return ModelLimits() if models is None else ModelLimits(True, models)
    for enabled, models in service.database.fetch(_model_limits, token.id):
        listed = tuple(filter(None, (models or "").split(",")))
        return ModelLimits(enabled in (1, "1", "true", "t"), listed)
    return ModelLimits()


def _model_limits(columns: TableColumns) -> Query:
    selected = (GatewayToken.model_limits_enabled, GatewayToken.model_limits)
    return GatewayToken.select(*selected).where(GatewayToken.id == PLACEHOLDER)
