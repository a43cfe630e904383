"""marshmallow: the bodies of the answers, keys in the documented order (CONTRACT section 1).

Amounts arrive as exact Fractions; Float writes the double nearest to each.
"""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from billing.parsing import instant, plain_text


class Body(Schema):
    """A body made of a mapping: marshmallow need not find out how to read each value."""

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj.get(attr, default)


class SubscriptionSchema(Body):
    object = fields.Constant("billing_subscription")
    has_payment_method = fields.Constant(True)
    soft_limit_usd = fields.Float(attribute="hard_limit", dump_only=True)
    hard_limit_usd = fields.Float(attribute="hard_limit", dump_only=True)
    system_hard_limit_usd = fields.Float(attribute="hard_limit", dump_only=True)
    access_until = fields.Integer()


class UsageSchema(Body):
    object = fields.Constant("list")
    total_usage = fields.Float()


def dump(schema: Schema, **values: Any) -> dict[str, Any]:
    """The body that `schema` makes of `values`."""
    body: dict[str, Any] = schema.dump(values)
    return body


class StatusSchema(Body):
    status = fields.Constant("ok")


class LineItemSchema(Body):
    name = fields.String()
    cost = fields.Float()


class DailyCostSchema(Body):
    timestamp = fields.Integer()
    line_items = fields.List(fields.Nested(LineItemSchema))


class DailyUsageSchema(UsageSchema):
    """`usage?include=daily_costs` (CONTRACT section 5); costs in cents."""

    daily_costs = fields.List(fields.Nested(DailyCostSchema))
    period_usage = fields.Float()


class GrantSchema(Body):
    object = fields.Constant("credit_grant")
    id = fields.String()
    grant_amount = fields.Float()
    used_amount = fields.Float()
    effective_at = fields.Integer()
    expires_at = fields.Integer()


class GrantListSchema(Body):
    object = fields.Constant("list")
    data = fields.List(fields.Nested(GrantSchema))


class CreditSummarySchema(Body):
    object = fields.Constant("credit_summary")
    total_granted = fields.Float()
    total_used = fields.Float()
    total_available = fields.Float()
    grants = fields.Nested(GrantListSchema)


class AmountSchema(Body):
    value = fields.Float()
    currency = fields.Constant("usd")


class CostSchema(Body):
    """One result of OpenAI's costs; dollars, whatever the display unit."""

    object = fields.Constant("organization.costs.result")
    amount = fields.Nested(AmountSchema)
    line_item = fields.String(allow_none=True)
    project_id = fields.Constant(None)


class BucketSchema(Body):
    object = fields.Constant("bucket")
    start_time = fields.Integer()
    end_time = fields.Integer()
    results = fields.List(fields.Nested(CostSchema))


class CostPageSchema(Body):
    object = fields.Constant("page")
    data = fields.List(fields.Nested(BucketSchema))
    has_more = fields.Boolean()
    next_page = fields.String(allow_none=True)


class Instant(fields.Field[int]):
    """Unix seconds from unix seconds or ISO 8601."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        try:
            return instant(str(value))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Name(fields.String):
    """A model or an id: what the tables and collations hold as it is."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> str:
        try:
            return plain_text(super()._deserialize(value, attr, data, **more), 64)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Count(fields.Integer):
    """A whole number, written as one."""

    def __init__(self, power: int = 53, **more: Any) -> None:
        limits = validate.Range(0, 2**power, error=f"not a whole number from 0 to 2^{power}")
        super().__init__(strict=True, validate=limits, **more)


class UsageLine(Schema):
    """One line of `flask usage import`."""

    token_id = Count(required=True)
    model = Name(required=True)
    quota = Count(allow_none=True)
    usd = fields.Decimal(allow_none=True)
    prompt_tokens = Count(power=40)
    completion_tokens = Count(power=40)
    at = Instant(allow_none=True)
    request_id = Name(allow_none=True)
    refund = fields.Boolean(truthy={True}, falsy={False})

    class Meta:
        unknown = RAISE
