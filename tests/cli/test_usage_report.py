"""`flask usage show`: the daily costs on the terminal, as JSON and as CSV."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.application import Billing
from tests.support.gateways import Gateway

DAY = 86400
#: 2026-11-01.
START = 1793491200
RANGE = ["--from", "2026-11-01", "--to", "2026-11-08"]


@pytest.fixture
def spent(billing: Billing) -> Billing:
    """Alice's first token used two models on two days, her second one more."""
    billing.user()
    for _ in range(2):
        billing.token("alice", "--usd", "100")
    for token, model, usd, at, tokens in [
        ("1", "gpt-4o", "15", 0, ["--prompt-tokens", "1000", "--completion-tokens", "30"]),
        ("1", "=cmd|'/c calc'!A0", "10", 0, ["--prompt-tokens", "20"]),
        ("1", "gpt-4o", "2.5", 3 * DAY, []),
        ("2", "o4-mini", "1", 0, []),
        ("2", "o4-mini", "1", 7 * DAY, []),
    ]:
        used = ["--model", model, "--usd", usd, "--at", str(START + at), *tokens]
        billing.run("usage", "record", token, *used)
    return billing


def test_a_users_days_are_a_table_with_bars(spent: Billing) -> None:
    assert spent.run("usage", "show", "alice", *RANGE).splitlines() == [
        "day         cost (USD)  prompt tokens  completion tokens  requests",
        "2026-11-01  26.000000   1020           30                 3         " + 24 * "█",
        "2026-11-04  2.500000    0              0                  1         ██",
        "total: 28.500000 USD",
    ]


def test_a_tokens_models_come_by_cost(spent: Billing) -> None:
    assert spent.json("usage", "show", "--token", "1", "--by", "model", *RANGE) == [
        {
            "model": "gpt-4o",
            "cost": 17.5,
            "quota": 8750000,
            "prompt_tokens": 1000,
            "completion_tokens": 30,
            "requests": 2,
        },
        {
            "model": "=cmd|'/c calc'!A0",
            "cost": 10.0,
            "quota": 5000000,
            "prompt_tokens": 20,
            "completion_tokens": 0,
            "requests": 1,
        },
    ]


def test_csv_is_for_spreadsheets_and_holds_no_formula(spent: Billing) -> None:
    arguments = ["usage", "show", "alice", "--by", "model", "--csv", *RANGE]

    result = spent.app.test_cli_runner().invoke(args=arguments)

    assert result.stdout_bytes.decode() == (
        "\ufeffmodel,cost,quota,prompt_tokens,completion_tokens,requests\r\n"
        "gpt-4o,17.5,8750000,1000,30,2\r\n"
        "'=cmd|'/c calc'!A0,10.0,5000000,20,0,1\r\n"
        "o4-mini,1.0,500000,0,0,1\r\n"
    )


def test_the_last_thirty_days_are_the_default(billing: Billing) -> None:
    billing.user()
    billing.token()
    for days in (0, 29, 31):
        at = str(int(time.time()) - days * DAY)
        used = ["--model", "m", "--quota", "5", "--at", at]
        billing.run("usage", "record", "1", *used)

    assert len(billing.json("usage", "show", "alice")) == 2


def test_a_gateways_use_is_shown_as_well(gateway: Gateway) -> None:
    gateway.user(id=1, username="bob")
    gateway.token(1, id=2)
    gateway.insert(
        "logs",
        id=1,
        user_id=1,
        token_id=2,
        token_name="default",
        type=2,
        created_at=START,
        model_name="gpt-4o",
        quota=500000,
    )
    runner = gateway.app().test_cli_runner()

    by_user = runner.invoke(args=["usage", "show", "bob", "--json", *RANGE])
    by_token = runner.invoke(args=["usage", "show", "--token", "2", "--json", *RANGE])

    assert json.loads(by_user.stdout) == [
        {
            "day": "2026-11-01",
            "cost": 1.0,
            "quota": 500000,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "requests": 1,
        }
    ]
    assert by_token.stdout == by_user.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nobody"], "Error: no user named 'nobody'"),
        (["--token", "99"], "Error: no token 99"),
        ([], "Error: name a USER or give --token"),
        (["alice", "--token", "1"], "Error: name a USER or give --token"),
        (
            ["alice", "--from", "2026-11-02", "--to", "2026-11-02"],
            "Error: --to must be after --from",
        ),
        (["alice", "--csv", "--json"], "Error: give one of --csv and --json"),
    ],
)
def test_mistakes_end_with_one_clear_line(spent: Billing, arguments: list[str], line: str) -> None:
    result = spent.app.test_cli_runner().invoke(args=["usage", "show", *arguments])

    assert result.exit_code != 0
    assert result.stderr.splitlines()[-1] == line


def test_nothing_used_is_said(billing: Billing) -> None:
    billing.user()

    result = billing.app.test_cli_runner().invoke(args=["usage", "show", "alice"])

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing was used\n")


def test_a_tokens_use_is_its_own_whatever_the_endpoints_show(spent: Billing) -> None:
    runner = spent.make_app(BILLING_SCOPE="account").test_cli_runner()

    result = runner.invoke(
        args=["usage", "show", "--token", "2", "--by", "model", "--json", *RANGE]
    )

    assert json.loads(result.stdout) == [
        {
            "model": "o4-mini",
            "cost": 1.0,
            "quota": 500000,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "requests": 1,
        }
    ]


def test_days_are_those_of_the_zone_and_so_are_dates(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    sqlite_billing.token()
    # Seconds of 2026-11-01 in Shanghai, which ends at 16:00 UTC.
    for at in (START - 8 * 3600 - 1, START - 8 * 3600, START + 16 * 3600 - 1, START + 16 * 3600):
        used = ["--model", "m", "--quota", "500000", "--at", str(at)]
        sqlite_billing.run("usage", "record", "1", *used)
    days = ["--from", "2026-11-01", "--to", "2026-11-02"]

    found = sqlite_billing.json("usage", "show", "alice", "--timezone", "Asia/Shanghai", *days)

    assert [(row["day"], row["cost"]) for row in found] == [("2026-11-01", 2.0)]


def test_tokens_that_are_not_known_are_empty_cells(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    sqlite_billing.token()
    used = ["--model", "m", "--quota", "500000", "--at", str(START)]
    sqlite_billing.run("usage", "record", "1", *used)
    sqlite_billing.execute("UPDATE quota_data SET prompt_tokens = NULL")

    shown = sqlite_billing.run("usage", "show", "alice", "--csv", *RANGE)

    assert shown.splitlines()[1] == "2026-11-01,1.0,500000,,0,1"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            ["--timezone", "Mars/Olympus"],
            "'Mars/Olympus' is not the IANA name of a time zone, like Asia/Shanghai",
        ),
        (["--from", "Monday"], "not a date, an ISO 8601 time or unix seconds, nor like +30d"),
        (["--to", "9999-12-31T23:00"], "--to must be before the year 9999 ends"),
    ],
)
def test_a_zone_or_date_that_is_none_ends_with_one_line(
    sqlite_billing: Billing, more: list[str], line: str
) -> None:
    sqlite_billing.user()

    result = sqlite_billing.app.test_cli_runner().invoke(args=["usage", "show", "alice", *more])

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(line)
