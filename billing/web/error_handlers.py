"""Renders every error of the application in the one shape (docs/contract.md section 3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from billing.errors import BillingError, InternalError
from billing.web.json_response import JSONResponse
from billing.web.schemas import ErrorSchema, dump

log = logging.getLogger("billing")

_SCHEMA = ErrorSchema()


class ErrorText(NamedTuple):
    """What an error says to the caller; `code` None is left out of the body."""

    type: str
    code: str | None
    zh: str
    en: str


#: What a view says, by its function, when its figures cannot be read.
ReadFailures = Mapping[Callable[..., Any], ErrorText]

#: What the framework itself refuses, by status.
_HTTP_ERRORS = {
    404: ErrorText("invalid_request_error", "not_found", "没有这个路径", "no such path"),
    405: ErrorText(
        "invalid_request_error",
        "method_not_allowed",
        "该路径不支持此请求方法",
        "this path does not take that method",
    ),
}
_BAD_REQUEST = ErrorText("invalid_request_error", None, "请求无效", "bad request")


def _body(text: ErrorText, param: str | None, default_language: str) -> dict[str, Any]:
    accepted = (language[:2].lower() for language in request.accept_languages.values())
    language = next((each for each in accepted if each in ("zh", "en")), default_language)
    message = text.en if language == "en" else text.zh
    error = {"message": message, "type": text.type, "code": text.code, "param": param}
    known = {key: value for key, value in error.items() if value is not None}
    return dump(_SCHEMA, error=known)


def init_app(app: Flask, default_language: str, read_failures: ReadFailures) -> None:
    """Make every error of the application answer in the one shape.

    `read_failures` replaces the text of a failure (500 or 503) for some views.
    """

    def render(error: BillingError, cause: Exception | None = None) -> Response:
        g.error_code = error.code
        text = ErrorText(error.type, error.code, error.zh, error.en)
        if error.status >= 500 and not error.is_expected:
            request_id = request.headers.get("X-Request-Id", "-")
            log.error("%s: %s", error.code, error, exc_info=cause, extra={"request_id": request_id})
            view = app.view_functions.get(request.endpoint or "")
            text = read_failures.get(view, text) if view else text
        body = {**_body(text, error.param, default_language), **error.fields}
        return JSONResponse(body, error.status, error.headers.items())

    def render_http_error(error: HTTPException) -> Response:
        text = _HTTP_ERRORS.get(error.code or 0, _BAD_REQUEST)
        body = _body(text, None, default_language)
        # Allow, say; but not the type of the page that this replaces.
        headers = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
        return JSONResponse(body, error.code or 500, headers)

    def render_unexpected(error: Exception) -> Response:
        return render(InternalError(type(error).__name__), error)

    app.register_error_handler(BillingError, render)
    app.register_error_handler(HTTPException, render_http_error)
    app.register_error_handler(Exception, render_unexpected)
