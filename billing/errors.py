"""What can go wrong, as exceptions: status, type, code and messages of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class BillingError(Exception):
    """Base of all errors rendered to callers (docs/contract.md section 3).

    `zh` and `en` go to the caller, `str(error)` to the log. `param` names the query parameter at
    fault.
    """

    status: ClassVar[int] = 500
    type: str = "new_api_error"
    code: str | None = None
    zh: str = "服务内部错误，请稍后重试"
    en: str = "internal error, please try again later"
    headers: Mapping[str, str] = {}
    param: str | None = None
    #: Whether it is part of the service as it is documented, and nothing for the log.
    is_expected: ClassVar[bool] = False
    #: Fields of the body beside `error`.
    fields: Mapping[str, object] = {}


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
    """Too many requests; the count starts again after `seconds`."""

    status = 429
    code = "rate_limited"
    zh = "请求过于频繁，请稍后重试"
    en = "too many requests, please try again shortly"

    def __init__(self, seconds: int) -> None:
        super().__init__(self.en)
        self.headers = {"Retry-After": str(seconds)}


class DatabaseError(BillingError):
    """The database could not be read or written."""


class DatabaseUnavailable(DatabaseError):
    """The database is away, refuses, or is too slow: a retry can help."""

    status = 503
    code = "database_unavailable"
    zh = "数据库暂时不可用，请稍后重试"
    en = "the database is unavailable, please try again shortly"
    headers: Mapping[str, str] = {"Retry-After": "2"}


class DatabaseMisconfigured(DatabaseError):
    """The database answers but has no tables of ours, or is corrupt: only an operator helps."""

    code = "internal_error"


class UsageIncomplete(DatabaseUnavailable):
    """The logs of a user are being read for the usage cache: a share `progress` of them is.

    A retry after `seconds` reads on.
    """

    code = "usage_incomplete"
    zh = "首次查询正在读取历史用量，请稍后自动重试"
    en = "the usage history is being read for the first time, please try again shortly"
    is_expected = True

    def __init__(self, progress: float, seconds: int) -> None:
        super().__init__(self.en)
        self.headers = {"Retry-After": str(seconds)}
        self.fields = {"progress": progress}


class UnsupportedLogs(BillingError):
    """The gateway's logs are in a kind of database that we have no reader for."""

    status = 501
    is_expected = True
    code = "unsupported_logs"
    zh = "该网关的日志保存在 ClickHouse 中，本服务无法读取：不提供每日费用，其他数字不受影响"
    en = (
        "the gateway keeps its logs in ClickHouse, which this service cannot read: there are no "
        "daily costs; all other figures are right"
    )


class InternalError(BillingError):
    code = "internal_error"


class CommandError(Exception):
    """A command that cannot be done; its text is the one line that the operator sees."""
