"""Who is asking (CONTRACT section 3): every refusal, their order, and what the rows decide."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import pytest

from tests.support.application import TwoUsers, error_code
from tests.support.http_client import bearer

#: Each row of the table of errors, in its order.
ROWS: list[tuple[str, int, str, str]] = [
    (
        "missing_api_key",
        401,
        "未提供令牌，请在 Authorization 请求头中填写 Bearer sk-…",
        "no API key: send it as Authorization: Bearer sk-…",
    ),
    (
        "invalid_api_key",
        401,
        "无效的令牌，请检查令牌是否填写正确（使用系统访问令牌时须带 New-Api-User）",
        "invalid API key: check it (an access token needs New-Api-User with its user's id)",
    ),
    (
        "api_key_disabled",
        401,
        "该令牌已被禁用，请启用或更换令牌",
        "this API key is switched off: enable it or use another",
    ),
    (
        "user_mismatch",
        401,
        "New-Api-User 与令牌所属用户不符，请填写该令牌所属用户的 ID",
        "New-Api-User must be the id of the API key's user",
    ),
    (
        "user_disabled",
        403,
        "用户已被禁用，请联系管理员",
        "this user is disabled: ask the administrator",
    ),
    (
        "ip_not_allowed",
        403,
        "您的 IP 不在令牌允许访问的列表中",
        "your address is not on this API key's allow-list",
    ),
]
CODES = [code for code, *_ in ROWS]


def fault(two_users: TwoUsers, code: str, headers: dict[str, str]) -> None:
    """Make the request wrong in that way."""
    match code:
        case "missing_api_key":
            del headers["Authorization"]
        case "invalid_api_key":
            headers["Authorization"] = "Bearer sk-" + "x" * 48
        case "api_key_disabled":
            two_users.billing.run("token", "disable", str(two_users.token["id"]))
        case "user_mismatch":
            headers["New-Api-User"] = str(two_users.bob["id"])
        case "user_disabled":
            two_users.billing.run("user", "disable", "alice")
        case "ip_not_allowed":
            two_users.billing.run(
                "token", "edit", str(two_users.token["id"]), "--allow-ip", "10.0.0.1"
            )


@pytest.mark.parametrize(("code", "status", "zh", "en"), ROWS)
def test_each_refusal_says_what_is_wrong_in_both_languages(
    two_users: TwoUsers, code: str, status: int, zh: str, en: str
) -> None:
    headers = bearer(two_users.key)
    fault(two_users, code, headers)

    chinese = two_users.ask(headers)
    english = two_users.ask({**headers, "Accept-Language": "en-US,en;q=0.9,zh-CN;q=0.8"})

    assert (chinese.status_code, english.status_code) == (status, status)
    assert chinese.text == (
        f'{{"error":{{"message":"{zh}","type":"new_api_error","code":"{code}"}}}}\n'
    )
    assert english.get_json() == {"error": {"message": en, "type": "new_api_error", "code": code}}
    challenge = "Bearer" if status == 401 else None
    assert chinese.headers.get("WWW-Authenticate") == challenge


@pytest.mark.parametrize(("earlier", "later"), [*itertools.combinations(CODES, 2)])
def test_of_two_faults_the_earlier_row_is_named(
    two_users: TwoUsers, earlier: str, later: str
) -> None:
    headers = bearer(two_users.key)
    fault(two_users, later, headers)
    fault(two_users, earlier, headers)

    assert error_code(two_users.ask(headers)) == earlier


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE tokens SET status = 3", "ok"),
        ("UPDATE tokens SET status = 4", "ok"),
        ("UPDATE tokens SET status = 0", "api_key_disabled"),
        ("UPDATE tokens SET status = 5", "api_key_disabled"),
        ("UPDATE tokens SET deleted_at = '2020-01-01 00:00:00', status = 2", "invalid_api_key"),
        ("UPDATE users SET status = 0", "user_disabled"),
        ("UPDATE users SET deleted_at = '2020-01-01 00:00:00'", "user_disabled"),
        ("DELETE FROM users", "user_disabled"),
    ],
)
def test_what_the_rows_say_decides(two_users: TwoUsers, change: str, code: str) -> None:
    two_users.billing.execute(change)

    assert error_code(two_users.ask()) == code


@pytest.mark.parametrize("other", [str.upper, "{} ".format])
def test_a_key_is_compared_exactly_whatever_the_collation_finds_equal(
    two_users: TwoUsers, other: Callable[[str], str]
) -> None:
    if two_users.billing.env["DATABASE_URL"].startswith("mysql"):
        two_users.billing.execute(
            "ALTER TABLE tokens CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
        )
    ((stored,),) = two_users.billing.execute("SELECT `key` FROM tokens")
    two_users.billing.execute("UPDATE tokens SET `key` = ?", other(stored))

    assert error_code(two_users.ask()) == "invalid_api_key"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE users SET status = 2", "user_disabled"),
        ("UPDATE users SET deleted_at = '2020-01-01 00:00:00'", "user_disabled"),
        ("DELETE FROM users", "invalid_api_key"),
        ("UPDATE users SET access_token = id", "invalid_api_key"),
        ("UPDATE users SET access_token = '' WHERE id = 1", "invalid_api_key"),
    ],
)
def test_an_access_token_ends_with_its_user(two_users: TwoUsers, change: str, code: str) -> None:
    two_users.billing.execute(change)

    assert (
        error_code(two_users.ask(bearer(two_users.alice["access_token"], two_users.alice["id"])))
        == code
    )


@pytest.mark.parametrize(
    ("headers", "reads"),
    [
        ({}, 0),
        ({"Authorization": "Bearer {key}"}, 1),
        ({"Authorization": "Bearer {key}", "New-Api-User": "{id}"}, 1),
        ({"Authorization": "Bearer unknown"}, 1),
        ({"Authorization": "Bearer unknown", "New-Api-User": "junk"}, 1),
        ({"Authorization": "Bearer unknown", "New-Api-User": "{id}"}, 2),
        ({"Authorization": "Bearer {access_token}", "New-Api-User": "{id}"}, 2),
    ],
)
def test_an_answer_costs_one_indexed_read_or_two(
    two_users: TwoUsers, headers: dict[str, str], reads: int, caplog: pytest.LogCaptureFixture
) -> None:
    known = {**two_users.alice, "key": two_users.key}
    sent = {name: text.format(**known) for name, text in headers.items()}

    two_users.ask()  # opens the connection

    with caplog.at_level(logging.DEBUG, "peewee"):
        two_users.ask(sent)

    statements = [record for record in caplog.records if record.name == "peewee"]
    assert len(statements) == reads
