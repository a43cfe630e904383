"""Limits how often a client may ask; loaded only when RATE_LIMIT is set.

Uses `limits` directly: Flask-Limiter above it costs thirty times as much.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from flask import Flask, request
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from billing.database.circuit_breaker import CircuitBreaker
from billing.errors import RateLimited

if TYPE_CHECKING:
    from config import RateLimit

log = logging.getLogger("billing")

#: Redis timeout, and how long the circuit breaker stays open after a failure, in seconds.
_REDIS_TIMEOUT, _BREAKER_OPEN_SECONDS = 0.1, 1.0

#: Blueprints whose requests count; health, metrics and preflights do not.
_COUNTED_BLUEPRINTS = {"billing", "v1", "organization", "token_usage"}


class _Limiter:
    def __init__(self, limit: RateLimit, storage: str) -> None:
        options = {}
        if storage != "memory":
            # No second attempt: the request waits for the first one already.
            options = {
                "socket_timeout": _REDIS_TIMEOUT,
                "socket_connect_timeout": _REDIS_TIMEOUT,
                "retry": None,
                "key_prefix": "billing",
            }
        address = "memory://" if storage == "memory" else storage
        counters = storage_from_string(address, wrap_exceptions=True, **options)  # type: ignore[arg-type]
        self._limiter = FixedWindowRateLimiter(counters)
        self._limit = RateLimitItemPerSecond(limit.amount, limit.seconds)
        self._breaker = CircuitBreaker(
            _BREAKER_OPEN_SECONDS, _REDIS_TIMEOUT + _BREAKER_OPEN_SECONDS
        )
        self._warned = False

    def admit(self) -> None:
        """Count a request by its client's address. Raises RateLimited."""
        if request.blueprint not in _COUNTED_BLUEPRINTS or request.method == "OPTIONS":
            return
        if not self._breaker.admits():
            return
        client = request.remote_addr or ""
        if not client and not self._warned:
            # A unix socket has no addresses; which one we are served on, only the server knows.
            self._warned = True
            log.warning(
                "RATE_LIMIT counts all clients without an address as one: TRUSTED_PROXY_HOPS must "
                "be the number of proxies in front"
            )
        try:
            admitted = self._limiter.hit(self._limit, client)
            if admitted:
                window_end = 0.0
            else:
                window_end = self._limiter.get_window_stats(self._limit, client).reset_time
        except StorageError as error:
            if self._breaker.state == "closed":
                name = type(error.storage_error).__name__
                log.warning("rate limit off while Redis is away: %s", name)
            self._breaker.open()
            return
        self._breaker.close()
        if not admitted:
            raise RateLimited(max(math.ceil(window_end - time.time()), 1))


def init_app(app: Flask, limit: RateLimit, storage: str) -> None:
    """Refuse what is above `limit`, counted in `storage`, before authentication."""
    app.before_request(_Limiter(limit, storage).admit)
