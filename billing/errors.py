"""The error classes, their schema, and the one place that renders them (CONTRACT section 3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Flask, Response, g, make_response, request
from marshmallow import Schema, fields, post_dump
from werkzeug.exceptions import HTTPException

log = logging.getLogger("billing")


class BillingError(Exception):
    """A refusal or failure that the caller is told of; its own text is for the log.

    `param` names the parameter at fault.
    """

    status: ClassVar[int] = 500
    type: str = "new_api_error"
    code: str | None = None
    zh: str = "服务内部错误，请稍后重试"
    en: str = "internal error, please try again later"
    headers: Mapping[str, str] = {}
    param: str | None = None


class Unauthorized(BillingError):
    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class MissingAPIKey(Unauthorized):
    code = "missing_api_key"
    zh = "未提供令牌，请在 Authorization 请求头中填写 Bearer sk-…"
    en = "no API key: send it as Authorization: Bearer sk-…"


class InvalidAPIKey(Unauthorized):
    code = "invalid_api_key"
    zh = "无效的令牌，请检查令牌是否填写正确（使用系统访问令牌时须带 New-Api-User）"
    en = "invalid API key: check it (an access token needs New-Api-User with its user's id)"


class APIKeyDisabled(Unauthorized):
    code = "api_key_disabled"
    zh = "该令牌已被禁用，请启用或更换令牌"
    en = "this API key is switched off: enable it or use another"


class UserMismatch(Unauthorized):
    code = "user_mismatch"
    zh = "New-Api-User 与令牌所属用户不符，请填写该令牌所属用户的 ID"
    en = "New-Api-User must be the id of the API key's user"


class Forbidden(BillingError):
    status = 403


class UserDisabled(Forbidden):
    code = "user_disabled"
    zh = "用户已被禁用，请联系管理员"
    en = "this user is disabled: ask the administrator"


class IPNotAllowed(Forbidden):
    code = "ip_not_allowed"
    zh = "您的 IP 不在令牌允许访问的列表中"
    en = "your address is not on this API key's allow-list"


class BadParameter(BillingError):
    """A query parameter that cannot be read; `param` names it."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, param: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.param, self.zh, self.en = param, f"{param}：{zh}", f"{param}: {en}"


class RateLimited(BillingError):
    """Too many requests; another is counted afresh after `seconds`."""

    status = 429
    code = "rate_limited"
    zh = "请求过于频繁，请稍后重试"
    en = "too many requests, please try again shortly"

    def __init__(self, seconds: int) -> None:
        super().__init__(self.en)
        self.headers = {"Retry-After": str(seconds)}


class DatabaseUnavailable(BillingError):
    """The database is away, refuses, or is too slow: a retry can help."""

    status = 503
    code = "database_unavailable"
    zh = "数据库暂时不可用，请稍后重试"
    en = "the database is unavailable, please try again shortly"
    headers: Mapping[str, str] = {"Retry-After": "2"}


class DatabaseBroken(BillingError):
    """The database answers but holds no tables of ours, or is corrupt: only an operator helps."""

    code = "internal_error"


class InternalError(BillingError):
    code = "internal_error"


class ErrorBody(Schema):
    message = fields.String()
    type = fields.String()
    code = fields.String()
    param = fields.String()

    @post_dump
    def drop_empty(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {key: value for key, value in data.items() if value is not None}


class ErrorSchema(Schema):
    error = fields.Nested(ErrorBody)


_SCHEMA = ErrorSchema()

#: The documented bodies of figures that could not be read, by view: type, Chinese, English.
_UNREADABLE = {
    "subscription": ("upstream_error", "获取配额失败", "failed to read the quota"),
    "usage": ("new_api_error", "获取使用量失败", "failed to read the usage"),
}

#: What the framework itself refuses: code, Chinese, English.
_HTTP = {
    404: ("not_found", "没有这个路径", "no such path"),
    405: ("method_not_allowed", "该路径不支持此请求方法", "this path does not take that method"),
}


def _body(
    type: str, code: str | None, messages: tuple[str, str], param: str | None, default: str
) -> dict[str, Any]:
    zh, en = messages
    wanted = (language[:2].lower() for language in request.accept_languages.values())
    language = next((each for each in wanted if each in ("zh", "en")), default)
    error = {"message": en if language == "en" else zh, "type": type, "code": code, "param": param}
    body: dict[str, Any] = _SCHEMA.dump({"error": error})
    return body


def init_app(app: Flask, language: str) -> None:
    """Make every error of the application answer in the one shape; `language` is the default."""

    def render(error: BillingError, cause: Exception | None = None) -> Response:
        g.error_code = error.code
        if error.status >= 500:
            asked = request.headers.get("X-Request-Id", "-")
            log.error("%s: %s", error.code, error, exc_info=cause, extra={"request_id": asked})
        type, code, messages = error.type, error.code, (error.zh, error.en)
        view = (request.endpoint or "").rpartition(".")[2]
        if error.status >= 500 and view in _UNREADABLE:
            type, *texts = _UNREADABLE[view]
            code, messages = None, (texts[0], texts[1])
        body = _body(type, code, messages, error.param, language)
        return make_response(body, error.status, error.headers)

    def http_error(error: HTTPException) -> Response:
        code, *texts = _HTTP.get(error.code or 0, (None, "请求无效", "bad request"))
        body = _body("invalid_request_error", code, (texts[0], texts[1]), None, language)
        # Allow, say; but not the type of the page that this replaces.
        kept = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
        return make_response(body, error.code or 500, kept)

    def unexpected(error: Exception) -> Response:
        return render(InternalError(type(error).__name__), error)

    app.register_error_handler(BillingError, render)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)


class CommandError(Exception):
    """A command cannot be done; its text is the operator's line."""
