"""The billing service for LLM gateways: create_app wires it, top to bottom."""

from __future__ import annotations

from flask import Flask

from billing import cli, logs
from billing.core import service
from billing.web import error_handlers, middleware
from billing.web.app import LeanFlask
from billing.web.health import health
from billing.web.openapi import openapi
from billing.web.organization import organization
from billing.web.views import READ_FAILURES, billing, token_usage
from config import Settings


def create_app(settings: Settings) -> Flask:
    """The application. Touches no network and no file, so that the database may be away."""
    app = LeanFlask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    logs.init_app(settings.log_level, settings.log_format)
    service.init_app(app, settings)
    error_handlers.init_app(app, settings.default_language, READ_FAILURES)
    middleware.init_app(app, settings.trusted_proxy_hops, settings.log_format == "json")
    if settings.rate_limit:
        from billing.web import rate_limit

        rate_limit.init_app(app, settings.rate_limit, settings.rate_limit_storage)
    if settings.metrics:
        from billing.web import metrics

        metrics.init_app(app, settings)
    app.register_blueprint(billing, url_prefix="/dashboard/billing")
    app.register_blueprint(billing, url_prefix="/v1/dashboard/billing", name="v1")
    app.register_blueprint(organization, url_prefix="/v1/organization")
    app.register_blueprint(token_usage, url_prefix="/api/usage")
    app.register_blueprint(health)
    app.register_blueprint(openapi)
    if settings.panel:
        from billing.web.panel import panel

        app.register_blueprint(panel, url_prefix="/dashboard/billing")
        app.register_blueprint(panel, url_prefix="/v1/dashboard/billing", name="v1_panel")
    cli.init_app(app)
    return app
