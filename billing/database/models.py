"""The tables, named and typed as new-api's, so that one set of models reads ours and a gateway's.

Quotas are integers of quota units, times are unix seconds UTC.
"""

from __future__ import annotations

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    DateTimeField,
    Model,
    TextField,
)

#: Only our own databases have this table.
SCHEMA_TABLE = "billing_schema"

LOG_TOPUP, LOG_CONSUME, LOG_REFUND = 1, 2, 6
ENABLED, DISABLED = 1, 2

#: Token states that may read: enabled, expired, exhausted (the last two are lazily written).
READABLE_STATUSES = frozenset({1, 3, 4})

#: The longest allow-list that is read, in characters and in networks: it takes 5 ms at most. Users
#: of gateways write their own.
ALLOW_LIST_LENGTH, ALLOW_LIST_NETWORKS = 10_000, 200


#: What is summed by the hour.
HOUR_SUMS = ("quota", "refunded", "prompt_tokens", "completion_tokens", "count")


class User(Model):
    """`quota` is what remains in the wallet, not the total."""

    id = BigAutoField()
    username = CharField(64, unique=True)
    status = BigIntegerField(default=ENABLED)
    access_token = CharField(64, unique=True)
    quota = BigIntegerField(default=0)
    used_quota = BigIntegerField(default=0)
    request_count = BigIntegerField(default=0)
    created_at = BigIntegerField()
    deleted_at = DateTimeField(null=True, index=True)

    class Meta:
        table_name = "users"


class Token(Model):
    """`expired_time` is -1 for never; `allow_ips` one address or network a line, '' for any."""

    id = BigAutoField()
    user_id = BigIntegerField(index=True)
    key = CharField(128, unique=True)
    status = BigIntegerField(default=ENABLED)
    name = CharField(191, default="")
    created_time = BigIntegerField()
    expired_time = BigIntegerField(default=-1)
    remain_quota = BigIntegerField(default=0)
    unlimited_quota = BooleanField(default=False)
    used_quota = BigIntegerField(default=0)
    allow_ips = TextField(default="")
    deleted_at = DateTimeField(null=True, index=True)

    class Meta:
        table_name = "tokens"


class Log(Model):
    """One credit (type 1), use (2) or refund (6); `quota` is never negative."""

    id = BigAutoField()
    user_id = BigIntegerField()
    created_at = BigIntegerField()
    type = BigIntegerField()
    content = TextField(default="")
    username = CharField(64, default="")
    token_name = CharField(191, default="")
    model_name = CharField(64, default="")
    quota = BigIntegerField(default=0)
    prompt_tokens = BigIntegerField(default=0)
    completion_tokens = BigIntegerField(default=0)
    token_id = BigIntegerField(default=0, index=True)
    request_id = CharField(64, null=True)

    class Meta:
        table_name = "logs"
        indexes = (
            (("type", "request_id"), True),
            (("created_at", "type"), False),
            (("user_id", "type"), False),
        )


class QuotaData(Model):
    """What one token spent on one model in the UTC hour that begins at `created_at`.

    Net of refunds: `quota` of `refunded`, and tokens too. Prompt and completion tokens are NULL in
    hours of before schema version 2 whose logs were gone. new-api's has no column of these three.
    """

    id = BigAutoField()
    user_id = BigIntegerField()
    token_id = BigIntegerField()
    username = CharField(64, default="")
    model_name = CharField(64)
    created_at = BigIntegerField()
    token_used = BigIntegerField(default=0)
    count = BigIntegerField(default=0)
    quota = BigIntegerField(default=0)
    prompt_tokens = BigIntegerField(null=True)
    completion_tokens = BigIntegerField(null=True)
    refunded = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "quota_data"
        indexes = (
            (("user_id", "created_at", "token_id", "model_name"), True),
            # With the sums in them, so that a range is read from the index alone.
            (("token_id", "created_at", "model_name", *HOUR_SUMS), False),
            (("user_id", "created_at", "model_name", "token_id", *HOUR_SUMS), False),
        )


class GatewayUser(User):
    """A gateway's user; `setting` is JSON, of new-api alone."""

    setting = TextField(null=True)

    class Meta:
        table_name = "users"


class GatewayToken(Token):
    """A gateway's token; `subnet` is one-api's allow-list, networks with commas between.

    `setting` is JSON, of one-hub and done-hub. `model_limits` is new-api's and `models` one-api's
    list of the models that it may be used for, with commas between. `accessed_time` is when it was
    made, and later when it last used something.
    """

    accessed_time = BigIntegerField(null=True)
    subnet = TextField(null=True)
    setting = TextField(null=True)
    model_limits_enabled = BooleanField(null=True)
    model_limits = TextField(null=True)
    models = TextField(null=True)

    class Meta:
        table_name = "tokens"


class Option(Model):
    """One setting that an administrator saved; every value is text."""

    key = CharField(191, primary_key=True)
    value = TextField(null=True)

    class Meta:
        table_name = "options"


class UserSubscription(Model):
    """new-api: a plan that pays before or after the wallet. `amount_total` 0 is no limit."""

    id = BigAutoField()
    user_id = BigIntegerField()
    plan_id = BigIntegerField()
    amount_total = BigIntegerField()
    amount_used = BigIntegerField()
    status = CharField()
    start_time = BigIntegerField()
    end_time = BigIntegerField()
    next_reset_time = BigIntegerField()
    allow_wallet_overflow = BooleanField()

    class Meta:
        table_name = "user_subscriptions"


class SubscriptionPlan(Model):
    """new-api: what a subscription was made from, by the name that its users see."""

    id = BigAutoField()
    title = CharField()

    class Meta:
        table_name = "subscription_plans"


class Redemption(Model):
    """new-api: a code that its `used_user_id` turned into wallet quota."""

    id = BigAutoField()
    used_user_id = BigIntegerField()
    quota = BigIntegerField()
    redeemed_time = BigIntegerField()

    class Meta:
        table_name = "redemptions"


class TopUp(Model):
    """new-api: a payment; `amount` is whole dollars of quota, 0 for a subscription's."""

    id = BigAutoField()
    user_id = BigIntegerField()
    amount = BigIntegerField()
    status = CharField()
    create_time = BigIntegerField()

    class Meta:
        table_name = "top_ups"
