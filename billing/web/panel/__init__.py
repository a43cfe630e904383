"""The panel: its page, the files in it and beside it, and the unit of the site's amounts."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path, PurePath

from flask import Blueprint, Response, make_response, render_template, request

from billing.core.service import current_service
from billing.errors import DatabaseError
from billing.web.middleware import CACHEABLE

log = logging.getLogger("billing")

#: Lines that are comments, empty lines, and the blanks that lines begin with; in styles, blanks
#: and line ends beside punctuation too, and the last semicolon of a rule in one line. No text of
#: the files' that goes over several lines has any of them.
_LINES = r"^[ \t]*(?://[^\n]*|/\*[\s\S]*?\*/)?[ \t]*\n|^[ \t]+"
_FOR_READERS = {
    ".js": re.compile(_LINES, re.MULTILINE),
    ".css": re.compile(_LINES + r"|(?<=[:;,{}])\s|;? (?=[{}])", re.MULTILINE),
}


def _without_comments(filename: str, text: str) -> str:
    """The text of a script or of styles without what is for readers of the source: a fifth."""
    return _FOR_READERS[PurePath(filename).suffix].sub("", text)


def _inline(filename: str) -> tuple[str, str]:
    """A file's text, to be put into the page, and its hash, by which the policy allows it."""
    text = (Path(__file__).parent / "inline" / filename).read_text("utf-8")
    text = _without_comments(filename, text).strip()
    digest = b64encode(sha256(text.encode()).digest()).decode()
    return text, f"'sha256-{digest}'"


#: In the page itself, so that the first view waits for no other request.
_STYLES, _STYLES_HASH = _inline("panel.css")
_START, _START_HASH = _inline("start.js")


class _Panel(Blueprint):
    """Sends scripts without comments, and each file under the page's policy."""

    def send_static_file(self, filename: str) -> Response:
        response = super().send_static_file(filename)
        if response.status_code == 200 and PurePath(filename).suffix in _FOR_READERS:
            response.direct_passthrough = False
            response.set_data(_without_comments(filename, response.get_data(as_text=True)))
        return _with_security_headers(response)


panel = _Panel(
    "panel",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/panel",
)

#: The page takes keys. Content-Security-Policy: own scripts and styles only, those in the page by
#: their hashes; no framing, no form posts, no HTML injection (Trusted Types).
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self' {_START_HASH}; style-src {_STYLES_HASH}; "
        "img-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_TRADITIONAL = re.compile(r"\b(tw|hk|mo|hant)\b", re.IGNORECASE)

_SYMBOLS = {"USD": "$", "CNY": "¥", "TOKENS": ""}


def _with_security_headers(response: Response) -> Response:
    # Not by `after_request`, for which Flask would look at every request of the service.
    response.headers.update(_SECURITY_HEADERS)
    request.environ[CACHEABLE] = True
    return response


@panel.get("/")
def page() -> Response:
    """Cacheable but always revalidated (ETag), so that a new page never loads an old script."""
    html = render_template(
        "panel.html", language=_language(), styles=_STYLES, start=_START, **_display_unit()
    )
    # This leaves the texts of `_inline` as they are, for which the policy has hashes.
    response = make_response("\n".join(map(str.strip, html.splitlines())))
    response.cache_control.no_cache = True
    response.vary.add("Accept-Language")
    response.add_etag()
    response.make_conditional(request)
    return _with_security_headers(response)


def _language() -> str:
    """The first that the page speaks of the address's and the browser's languages, or English."""
    for tag in (request.args.get("lang", ""), *request.accept_languages.values()):
        language = tag[:2].lower()
        if language == "zh":
            return "zh-TW" if _TRADITIONAL.search(tag) else "zh"
        if language == "en":
            break
    return "en"


def _display_unit() -> dict[str, str]:
    """The unit of the site's amounts and its symbol; empty while the options cannot be read."""
    service = current_service()
    try:
        service.start_request()
    except DatabaseError as error:
        request_id = request.headers["X-Request-Id"]
        log.warning(
            "panel served without its display unit: %s", error, extra={"request_id": request_id}
        )
        return {}
    unit = service.settings.display_unit
    return {"unit": unit, "symbol": _SYMBOLS.get(unit, service.settings.custom_currency_symbol)}
