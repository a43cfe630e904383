"""The page for people: static files, and what the site's amounts are counted in."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, make_response, render_template, request

from billing.core.service import service
from billing.errors import DatabaseBroken, DatabaseUnavailable
from billing.web.middleware import KEPT

log = logging.getLogger("billing")

panel = Blueprint(
    "panel",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/panel",
)

#: The page takes keys: nothing foreign runs in it, nothing frames it, nothing leaves it but by its
#: own script, and that script cannot turn text into markup.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_SYMBOLS = {"USD": "$", "CNY": "¥", "TOKENS": ""}


@panel.after_request
def _shut(response: Response) -> Response:
    response.headers.update(_HEADERS)
    request.environ[KEPT] = True
    return response


@panel.get("/")
def page() -> Response:
    """Kept by browsers, and asked about each time: an update never meets an older script."""
    response = make_response(render_template("panel.html", **_money()))
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return response


def _money() -> dict[str, str]:
    """The unit of the site's amounts, and its symbol; nothing while the options cannot be read."""
    billing = service()
    try:
        billing.begin()
    except (DatabaseUnavailable, DatabaseBroken) as error:
        log.warning(
            "the page does without its unit: %s [%s]", error, request.headers["X-Request-Id"]
        )
        return {}
    unit = billing.settings.display_unit
    return {"unit": unit, "symbol": _SYMBOLS.get(unit, billing.settings.custom_currency_symbol)}
