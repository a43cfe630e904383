"""What one application holds: its settings, its database and how it shows quota."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING

from flask import Flask, current_app

from billing.core.gateway_options import variables
from billing.database.connection import Handle
from billing.database.queries import (
    TABLES,
    Reads,
    SubscriptionRow,
    TokenRow,
    UserRow,
    verify_attached,
    verify_ours,
)
from billing.quota import Balance, Display, access_until, display

if TYPE_CHECKING:
    from config import Settings

VERSION = "1.0.0"

log = logging.getLogger("billing")


def digest(secret: str) -> str:
    """How our tables store a key or access token: a stolen database gives no one access."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Service:
    """Building one touches no network and no file. `settings` are those in force now."""

    def __init__(self, settings: Settings) -> None:
        self._given = self.settings = settings
        self.attached = settings.billing_mode == "attached"
        self.handle = Handle(
            settings.database_url,
            settings.database_timeout,
            "attached" if self.attached else "read",
            tables=TABLES,
            refresh=settings.options_refresh if self.attached else float("inf"),
            verify=verify_attached if self.attached else verify_ours,
        )
        self.logs = self._log_handle()
        self.reads = Reads(self.handle)
        self.display = _display(settings)
        self.options: dict[str, str] = {}
        self._options_end = 0.0
        #: Options that count as absent, and their texts.
        self.bad: dict[str, str] = {}

    def begin(self) -> None:
        """Start a request's budget; read the gateway's options if they are due."""
        self.handle.begin()
        if self.logs is not None and self.logs is not self.handle:
            self.logs.begin()
        if self.attached and time.monotonic() > self._options_end:
            self._read_options()
            self._options_end = time.monotonic() + self.settings.options_refresh

    def close(self) -> None:
        """Close this thread's connections."""
        self.handle.close()
        if self.logs is not None:
            self.logs.close()

    def _log_handle(self) -> Handle | None:
        """Where the logs are: with the rest, in a database of their own, or out of our reach."""
        url = self.settings.log_database_url
        if url is None or not self.attached:
            return self.handle
        if url.dialect == "clickhouse":
            return None
        settings = self.settings
        return Handle(
            url,
            settings.database_timeout,
            "attached",
            tables=("logs",),
            refresh=settings.options_refresh,
        )

    def _read_options(self) -> None:
        self.options = variables(self.reads.options())
        self.settings, names = self._given.with_options(self.options)
        self.display = _display(self.settings)
        bad = {name: self.options.pop(name) for name in names}
        for name, value in bad.items():
            if self.bad.get(name) != value:
                log.warning("the gateway's option for %s is no number above 0: ignored", name)
        self.bad = bad

    def stored(self, secret: str) -> str:
        """`secret` as the tables hold it."""
        return secret if self.attached else digest(secret)

    def same(self, held: str, presented: str) -> bool:
        """Whether the tables' secret is the caller's, in constant time and to the last byte."""
        if self.handle.kind.PADS:
            held = held.rstrip(" ")
        # A header's bytes arrive as latin-1; nobody's empty secret is anybody's.
        return bool(held) and hmac.compare_digest(
            held.encode(), presented.encode("latin-1", "replace")
        )

    def figures(self, user: UserRow, token: TokenRow | None) -> tuple[Balance, int]:
        """The balance that a caller is shown, and when its access ends (0 for never)."""
        own = self.shown_token(token)
        balance = self._account(user) if own is None else own.balance
        if token is None or self.settings.billing_scope == "account":
            return balance, 0
        return balance, access_until(token.expired_time or 0)

    def shown_token(self, token: TokenRow | None) -> TokenRow | None:
        """The token whose own figures a caller is shown; None when they are the account's."""
        if token is None or self.settings.billing_scope == "account":
            return None
        owners = token.balance.unlimited and self.settings.unlimited_tokens == "account"
        return None if owners else token

    def subscriptions(self, user: UserRow) -> list[SubscriptionRow]:
        """The user's active subscriptions, unless only the wallet is to pay."""
        if not self.attached or user.billing_preference == "wallet_only":
            return []
        return self.reads.subscriptions(user.id, int(time.time()))

    def _account(self, user: UserRow) -> Balance:
        """The user's wallet and what its active subscriptions have left."""
        wallet, now = user.wallet, int(time.time())
        subscriptions = self.subscriptions(user)
        remaining = sum(each.remaining(now) for each in subscriptions)
        if not self.attached or user.billing_preference != "subscription_only":
            remaining += wallet.remaining
        unlimited = any(each.amount_total == 0 for each in subscriptions)
        return Balance(remaining, wallet.used, unlimited)


def _display(settings: Settings) -> Display:
    return display(
        settings.display_unit,
        settings.quota_per_unit,
        settings.usd_exchange_rate,
        settings.custom_exchange_rate,
    )


def init_app(app: Flask, settings: Settings) -> None:
    """The settings' database is opened by the first request that needs it."""
    app.extensions["billing"] = Service(settings)


def service() -> Service:
    """The running application's."""
    held: Service = current_app.extensions["billing"]
    return held
