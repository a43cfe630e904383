"""marshmallow schemas of the response bodies, keys in the documented order (docs/contract.md).

Amounts arrive as exact Fractions; Float writes the double nearest to each.
"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, missing


class Body(Schema):
    """A body made of a mapping; keys that it lacks are left out.

    marshmallow looks through all of a schema at every dump. What it finds is the same each time, so
    it is looked up once, and its fields then write their values: 6 µs instead of 14.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._constants: dict[str, Any] = {}
        self._written: list[tuple[str, str, Any]] = []
        for name, field in self.dump_fields.items():
            if isinstance(field, fields.Constant):
                self._constants[name] = field.constant
            else:
                # Holds the key's place in the order of the body.
                self._constants[name] = missing
                self._written.append((name, field.attribute or name, field._serialize))

    def _serialize(self, obj: Any, *, many: bool = False) -> Any:
        if many:
            return [self._serialize(each) for each in obj]
        body = self._constants.copy()
        for name, attribute, write in self._written:
            if attribute in obj:
                body[name] = write(obj[attribute], attribute, obj)
            else:
                del body[name]
        return body


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


class ErrorBodySchema(Body):
    message = fields.String()
    type = fields.String()
    code = fields.String()
    param = fields.String()


class ErrorSchema(Body):
    """The body of every error (docs/contract.md section 3)."""

    error = fields.Nested(ErrorBodySchema)


class StatusSchema(Body):
    status = fields.Constant("ok")


class LineItemSchema(Body):
    """One model of one day; tokens are null where only requests are known."""

    name = fields.String()
    cost = fields.Float()
    prompt_tokens = fields.Integer(allow_none=True)
    completion_tokens = fields.Integer(allow_none=True)
    requests = fields.Integer()


class PlainList(fields.List[Any]):
    """A list that is JSON already: of thousands of items, marshmallow would take half the time."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> Any:
        return value


class DailyCostSchema(Body):
    timestamp = fields.Integer()
    line_items = PlainList(fields.Nested(LineItemSchema))


class APIKeySchema(LineItemSchema):
    """A token, never its key: its period, and what it has. The last four keys only if it exists."""

    id = fields.String(allow_none=True)
    name = fields.String(allow_none=True)
    remaining = fields.Float()
    used = fields.Float()
    unlimited = fields.Boolean()
    last_used_at = fields.Integer()

    class Meta:
        fields = (
            *("id", "name", "cost", "prompt_tokens", "completion_tokens", "requests"),
            *("remaining", "used", "unlimited", "last_used_at"),
        )


class DailyUsageSchema(UsageSchema):
    """`usage?include=daily_costs` (docs/contract.md section 5); costs in cents.

    The last four keys: the first three are left out where all is known, and in the logs; the fourth
    unless it was asked for.
    """

    daily_costs = fields.List(fields.Nested(DailyCostSchema))
    period_usage = fields.Float()
    period_refunded = fields.Float()
    logs_since = fields.Integer()
    pruned_before = fields.Integer()
    total_usage_counted = fields.Boolean()
    api_keys = PlainList(fields.Nested(APIKeySchema))


class GrantSchema(Body):
    """Without `source` it stands for all figures; the last two are a subscription's alone."""

    object = fields.Constant("credit_grant")
    id = fields.String()
    grant_amount = fields.Float()
    used_amount = fields.Float()
    effective_at = fields.Integer()
    expires_at = fields.Integer()
    source = fields.String()
    plan = fields.String()
    resets_at = fields.Integer()


class GrantListSchema(Body):
    object = fields.Constant("list")
    data = fields.List(fields.Nested(GrantSchema))


class CallerSchema(Body):
    scope = fields.String()
    user = fields.String(allow_none=True)
    token = fields.String(allow_none=True)
    last_used_at = fields.Integer(allow_none=True)


class CreditSummarySchema(Body):
    """`token_available` and `account_available` are there only where the two are not the same."""

    object = fields.Constant("credit_summary")
    total_granted = fields.Float()
    total_used = fields.Float()
    total_available = fields.Float()
    grants = fields.Nested(GrantListSchema)
    token_available = fields.Float()
    account_available = fields.Float()
    caller = fields.Nested(CallerSchema)


class TokenUsageDataSchema(Body):
    object = fields.Constant("token_usage")
    name = fields.String()
    total_granted = fields.Integer()
    total_used = fields.Integer()
    total_available = fields.Integer()
    unlimited_quota = fields.Boolean()
    model_limits = fields.Dict(keys=fields.String(), values=fields.Boolean())
    model_limits_enabled = fields.Boolean()
    expires_at = fields.Integer()


class TokenUsageSchema(Body):
    """new-api's own body (docs/contract.md section 5); amounts are raw quota."""

    code = fields.Constant(True)
    message = fields.Constant("ok")
    data = fields.Nested(TokenUsageDataSchema)


class AmountSchema(Body):
    value = fields.Float()
    currency = fields.Constant("usd")


class CostSchema(Body):
    """One result of OpenAI's costs; dollars, whatever the display unit.

    The last two keys are there with `group_by=api_key_id`.
    """

    object = fields.Constant("organization.costs.result")
    amount = fields.Nested(AmountSchema)
    line_item = fields.String(allow_none=True)
    project_id = fields.Constant(None)
    api_key_id = fields.String(allow_none=True)
    api_key_name = fields.String(allow_none=True)


class CompletionsSchema(Body):
    """One result of OpenAI's completions usage; the last two keys as those of costs."""

    object = fields.Constant("organization.usage.completions.result")
    input_tokens = fields.Integer(allow_none=True)
    output_tokens = fields.Integer(allow_none=True)
    num_model_requests = fields.Integer()
    model = fields.String(allow_none=True)
    project_id = fields.Constant(None)
    user_id = fields.Constant(None)
    batch = fields.Constant(None)
    service_tier = fields.Constant(None)
    api_key_id = fields.String(allow_none=True)
    api_key_name = fields.String(allow_none=True)


class BucketSchema(Body):
    object = fields.Constant("bucket")
    start_time = fields.Integer()
    end_time = fields.Integer()


class CostBucketSchema(BucketSchema):
    results = fields.List(fields.Nested(CostSchema))


class CompletionsBucketSchema(BucketSchema):
    results = fields.List(fields.Nested(CompletionsSchema))


class CostPageSchema(Body):
    object = fields.Constant("page")
    data = fields.List(fields.Nested(CostBucketSchema))
    has_more = fields.Boolean()
    next_page = fields.String(allow_none=True)
    logs_since = fields.Integer()
    pruned_before = fields.Integer()


class CompletionsPageSchema(CostPageSchema):
    data = fields.List(fields.Nested(CompletionsBucketSchema))
