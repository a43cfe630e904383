"""The billing service that LLM gateways should have had: create_app wires it, top to bottom."""

from __future__ import annotations

from importlib.util import find_spec

from flask import Flask

from billing import cli, errors, logs
from billing.core import service
from billing.web import middleware as http
from billing.web.app import PlainFlask
from billing.web.health import health
from billing.web.openapi import openapi
from billing.web.views import billing, organization
from config import Settings


def create_app(settings: Settings) -> Flask:
    """The application. Touches no network and no file, so the database may be away."""
    app = PlainFlask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    logs.init_app(settings.log_level, settings.log_format)
    if "postgresql" in {url.dialect for url in settings.addresses}:
        from billing.database.dialects import postgresql

        postgresql.init()
    if find_spec("MySQLdb") is not None:
        from billing.database.dialects import mysqlclient

        mysqlclient.init()
    service.init_app(app, settings)
    errors.init_app(app, settings.default_language)
    http.init_app(app, settings.trusted_proxy_hops, settings.log_format == "json")
    if settings.rate_limit:
        from billing.web import rate_limit as rates

        rates.init_app(app, settings.rate_limit, settings.rate_limit_storage)
    if settings.metrics:
        from billing.web import metrics

        metrics.init_app(app, settings)
    app.register_blueprint(billing, url_prefix="/dashboard/billing")
    app.register_blueprint(billing, url_prefix="/v1/dashboard/billing", name="v1")
    app.register_blueprint(organization, url_prefix="/v1/organization")
    app.register_blueprint(health)
    app.register_blueprint(openapi)
    if settings.panel:
        from billing.web.panel import panel

        app.register_blueprint(panel, url_prefix="/dashboard/billing")
        app.register_blueprint(panel, url_prefix="/v1/dashboard/billing", name="v1_panel")
    cli.init_app(app)
    return app
