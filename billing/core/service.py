"""What one application holds: its settings, its databases, and which figures a caller sees."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from billing.core.gateway_options import deciding_keys, settings_from_options
from billing.core.gateways import UNKNOWN, Gateway, identify_gateway
from billing.core.heavy_reads import HeavyReads
from billing.core.remembered import Remembered
from billing.core.usage_cache import UsageCache
from billing.database.connection import Database
from billing.database.queries import (
    DECISIVE_COLUMNS,
    DECISIVE_LOG_COLUMNS,
    TABLES,
    Queries,
    SubscriptionRow,
    TokenRow,
    UserRow,
    verify_attached,
    verify_embedded,
)
from billing.database.usage_file import UsageFile
from billing.quota import Balance, Display, access_until, display, spendable

if TYPE_CHECKING:
    from config import Settings

log = logging.getLogger("billing")


@dataclass(frozen=True)
class Terms:
    """What figures are computed by; published whole, so that no answer mixes old and new."""

    settings: Settings
    display: Display
    #: The gateway's options by the names of our variables.
    options: Mapping[str, str]
    #: Options whose value counts as absent, and their texts.
    invalid_options: Mapping[str, str]
    #: The keys of all rows that `options` and `invalid_options` came from.
    option_keys: frozenset[str] = frozenset()
    gateway: Gateway = UNKNOWN


class _ThreadTerms(threading.local):
    """The terms of the request that the thread is at."""

    terms: Terms | None = None


class Service:
    """Building one touches no network and no file.

    `now` is the clock, in seconds, by which options and columns grow old.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._environment_settings = settings
        self._now = now
        self.attached = settings.billing_mode == "attached"
        self._heavy_reads = HeavyReads(settings.heavy_reads)
        self.database = Database(
            settings.database_url,
            settings.database_timeout,
            "attached" if self.attached else "read",
            tables=TABLES,
            decisive=DECISIVE_COLUMNS
            + (() if self._logs_are_elsewhere() else DECISIVE_LOG_COLUMNS),
            columns_ttl=settings.options_refresh if self.attached else float("inf"),
            verify=verify_attached if self.attached else verify_embedded,
            now=now,
        )
        #: Where the logs are: `database`, another one, or None when we cannot read it.
        self.log_database = self._open_log_database()
        #: The codes that a user redeemed, by its id: gateways have no index that finds them.
        self.redemptions: Remembered[list[tuple[Any, ...]]] = Remembered(60, 1000, now)
        #: What is remembered of an attached gateway's logs; None for nothing.
        self.usage_cache = self._open_usage_cache()
        self.queries = Queries(self.database)
        self._published = Terms(settings, _display_of(settings), {}, {})
        self._thread = _ThreadTerms()
        self._options_lock = threading.Lock()
        self._options_expire_at = float("-inf")

    @property
    def terms(self) -> Terms:
        """Those of the thread's request; before its first, the last that were published."""
        return self._thread.terms or self._published

    @property
    def settings(self) -> Settings:
        """The environment's, and in attached mode the gateway's options below them."""
        return self.terms.settings

    @property
    def display(self) -> Display:
        return self.terms.display

    def start_request(self) -> None:
        """Start a request of this thread: its time budget, and the terms of all its figures.

        In attached mode the gateway's options are read when they are due. Raises DatabaseError when
        that fails.
        """
        self.database.start_time_budget()
        if self.log_database is not None and self.log_database is not self.database:
            self.log_database.start_time_budget()
        if self.attached and self._now() > self._options_expire_at:
            self._refresh_options()
        self._thread.terms = self._published

    @contextmanager
    def heavy_reads(self) -> Iterator[None]:
        """Reads that may take long, which few threads make at once; the others wait.

        For half of what is left of the budget. Raises DatabaseUnavailable when it is not enough.
        """
        with self._heavy_reads.slot(self.database.seconds_left() / 2):
            yield

    def _refresh_options(self) -> None:
        """One thread reads the options again; the others go on with the old.

        Without old ones each thread reads them: to wait for another's slow connection would spend
        the time that its own request has.
        """
        is_first = self._options_expire_at == float("-inf")
        if not is_first and not self._options_lock.acquire(blocking=False):
            return
        try:
            if self._now() > self._options_expire_at:
                self._published = self._read_options()
                self._options_expire_at = self._now() + self._published.settings.options_refresh
        finally:
            if not is_first:
                self._options_lock.release()

    def _read_options(self) -> Terms:
        """The terms by the options as they are now; the last ones while a row is missing.

        Gateways change rows and remove none, so that a dump is being restored then.
        """
        rows = self.queries.options()
        keys = deciding_keys(rows)
        if missing := self._published.option_keys - keys:
            log.warning(
                "the gateway's options %s were there and are gone: the last values stay until they"
                " are back or the service restarts",
                ", ".join(sorted(missing)),
            )
            return self._published
        gateway = identify_gateway(self.database.table_columns())
        options = settings_from_options(rows, gateway.options)
        defaults = {**gateway.defaults, **options}
        settings, names = self._environment_settings.with_options(defaults)
        invalid = {name: options.pop(name) for name in names}
        for name, value in invalid.items():
            if self._published.invalid_options.get(name) != value:
                log.warning("the gateway's option for %s is no number above 0: ignored", name)
        return Terms(settings, _display_of(settings), options, invalid, keys, gateway)

    def close(self) -> None:
        """Close this thread's connections."""
        self.database.close()
        if self.usage_cache is not None:
            self.usage_cache.file.close()
        if self.log_database is not None:
            self.log_database.close()

    def _logs_are_elsewhere(self) -> bool:
        return self.attached and self._environment_settings.log_database_url is not None

    def _open_log_database(self) -> Database | None:
        settings = self._environment_settings
        url = settings.log_database_url
        if url is None or not self._logs_are_elsewhere():
            return self.database
        if url.dialect == "clickhouse":
            return None
        return Database(
            url,
            settings.database_timeout,
            "attached",
            tables=("logs",),
            decisive=DECISIVE_LOG_COLUMNS,
            columns_ttl=settings.options_refresh,
            now=self._now,
        )

    def _open_usage_cache(self) -> UsageCache | None:
        path, database = self._environment_settings.usage_cache_path, self.log_database
        if path is None or database is None:
            return None
        return UsageCache(UsageFile(path, database.url.identity), database)

    def visible_balance(self, user: UserRow, token: TokenRow | None) -> tuple[Balance, int]:
        """The balance that a caller sees, and when its access ends (unix seconds, 0 for never)."""
        scope = self.settings.billing_scope
        token_in_scope = self.token_in_scope(token)
        if token_in_scope is None:
            balance = self.account_balance(user)
        elif scope == "spendable":
            balance = spendable(token_in_scope.balance, self.account_balance(user))
        else:
            balance = token_in_scope.balance
        if token is None or scope == "account":
            return balance, 0
        return balance, access_until(token.expired_time or 0)

    def token_in_scope(self, token: TokenRow | None) -> TokenRow | None:
        """The token whose own figures the caller sees; None when they are the account's."""
        settings = self.settings
        if token is None or settings.billing_scope == "account":
            return None
        if not token.unlimited:
            return token
        shows_account = (
            settings.unlimited_tokens == "account" or settings.billing_scope == "spendable"
        )
        return None if shows_account else token

    def counts_usage_of(self, token: TokenRow) -> bool:
        """Whether the gateway counts what the token uses.

        Those whose logs name no token leave the counter of an unlimited one alone.
        """
        database = self.log_database
        if not self.attached or not token.unlimited or database is None:
            return True
        return database.table_columns().has("logs", "token_id")

    def subscriptions(self, user: UserRow) -> list[SubscriptionRow]:
        """The user's active subscriptions, unless only the wallet is to pay."""
        if not self.attached or user.billing_preference == "wallet_only":
            return []
        return self.queries.subscriptions(user.id, int(time.time()))

    def is_wallet_spendable(self, user: UserRow, subscriptions: list[SubscriptionRow]) -> bool:
        """Whether the gateway would charge the wallet at all, beside those active subscriptions.

        One strict subscription is enough to keep it from that, unless the wallet comes first
        (docs/gateways.md section 1).
        """
        if not self.attached or user.billing_preference in ("wallet_first", "wallet_only"):
            return True
        is_strict = any(row.is_strict for row in subscriptions)
        return user.billing_preference != "subscription_only" and not is_strict

    def account_balance(self, user: UserRow) -> Balance:
        """The user's wallet, if it can be spent, and what its active subscriptions have left."""
        wallet, now = user.wallet, int(time.time())
        subscriptions = self.subscriptions(user)
        remaining = sum(row.remaining(now) for row in subscriptions)
        if self.is_wallet_spendable(user, subscriptions):
            remaining += wallet.remaining
        unlimited = any(row.amount_total == 0 for row in subscriptions)
        return Balance(remaining, wallet.used, unlimited)


def _display_of(settings: Settings) -> Display:
    return display(
        settings.display_unit,
        settings.quota_per_unit,
        settings.usd_exchange_rate,
        settings.custom_exchange_rate,
    )


def init_app(app: Flask, settings: Settings) -> None:
    """The settings' database is opened by the first request that needs it."""
    app.extensions["billing"] = Service(settings)


def current_service() -> Service:
    """The running application's."""
    service: Service = current_app.extensions["billing"]
    return service
