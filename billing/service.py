"""What one application holds: its settings, its database and how it shows quota."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from flask import Flask, current_app

from billing.db import Handle
from billing.models import Reads
from billing.quota import Display, display

if TYPE_CHECKING:
    from config import Settings

VERSION = "1.0.0"


def digest(secret: str) -> str:
    """How our tables store a key or access token: a stolen database gives no one access."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Service:
    """Building one touches no network and no file."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.handle = Handle(settings.database_url, settings.database_timeout)
        self.reads = Reads(self.handle)
        self.display: Display = display(
            settings.display_unit,
            settings.quota_per_unit,
            settings.usd_exchange_rate,
            settings.custom_exchange_rate,
        )

    def stored(self, secret: str) -> str:
        """`secret` as the tables hold it."""
        return digest(secret)


def init_app(app: Flask, settings: Settings) -> None:
    app.extensions["billing"] = Service(settings)


def service() -> Service:
    """The running application's."""
    held: Service = current_app.extensions["billing"]
    return held
