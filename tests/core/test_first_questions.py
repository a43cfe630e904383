"""The first question about a long history is answered in parts; commands read it before."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from billing.core import usage_filling
from tests.core.test_daily_costs import DAY, START, query
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

on_sqlite = pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)

#: Of ten days.
ROWS = 150_000

MANY_ROWS = f"""
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROWS})
INSERT INTO logs (id, user_id, token_id, type, model_name, quota, created_at)
SELECT n, 1, 2, 2, 'gpt-4o', n % 7, {START} + n * {10 * DAY} / {ROWS} FROM number
"""


def fill(gateway: Gateway, rows: int = ROWS) -> None:
    """A user with many uses, all of them older than two hours."""
    gateway.user(id=1, username="alice")
    gateway.token(1, id=2)
    gateway.execute(MANY_ROWS.replace(str(ROWS), str(rows)))


@on_sqlite
def test_a_first_question_is_told_how_much_is_known(
    newapi: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(newapi, 60_000)
    monkeypatch.setattr(usage_filling, "_BURST_SECONDS", 0.0)
    expected = newapi.read("usage" + query(0, 9).partition("usage")[2])
    client = newapi.client(USAGE_CACHE=str(tmp_path / "usage.db"))

    answers = [client.get(query(0, 9), headers=bearer(KEY))]
    while answers[-1].status_code == 503:
        time.sleep(int(answers[-1].headers["Retry-After"]))
        answers.append(client.get(query(0, 9), headers=bearer(KEY)))

    first = answers[0]
    assert first.status_code == 503
    assert 1 <= int(first.headers["Retry-After"]) <= 10
    assert first.get_json() == {
        "error": {
            "message": "首次查询正在读取历史用量，请稍后自动重试",
            "type": "new_api_error",
            "code": "usage_incomplete",
        },
        "progress": first.get_json()["progress"],
    }
    shares = [answer.get_json()["progress"] for answer in answers[:-1] if "progress" in answer.text]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert answers[-1].get_json() == expected


@on_sqlite
def test_a_command_reads_everybodys_logs_and_nothing_twice(newapi: Gateway, tmp_path: Path) -> None:
    fill(newapi, 120_000)
    path = tmp_path / "usage.db"
    runner = newapi.app(USAGE_CACHE=str(path)).test_cli_runner()

    first = runner.invoke(args=["usage", "warm", "--days", "3660", "--json"])
    second = runner.invoke(args=["usage", "warm", "alice", "--days", "3660", "--json"])
    kept = newapi.client(USAGE_CACHE=str(path)).get(query(0, 9), headers=bearer(KEY))

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    read = json.loads(first.stdout)
    assert read["users"] == 1
    assert read["slices"] > 1
    assert json.loads(second.stdout) == {"users": 1, "slices": 0, "seconds_reading": 0.0}
    assert kept.status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["nobody"], {}, "Error: no user named 'nobody'\n"),
        ([], {"USAGE_CACHE": "off"}, "Error: there is no usage cache: "),
        ([], {"USAGE_CACHE": "/dev/null/usage.db"}, "Error: the usage cache cannot be used: "),
    ],
)
def test_what_cannot_be_read_ahead_is_said_in_a_line(
    newapi: Gateway, tmp_path: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    newapi.user()
    runner = newapi.app(**{"USAGE_CACHE": str(tmp_path / "usage.db"), **env}).test_cli_runner()

    result = runner.invoke(args=["usage", "warm", *arguments])

    assert result.exit_code == 1
    assert result.output.startswith(said)


@on_sqlite
@pytest.mark.parametrize("path", ["/dev/null/usage.db", "/nowhere/usage.db"])
def test_without_a_place_for_the_file_the_logs_are_read(
    newapi: Gateway, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(newapi, 100)
    client = newapi.client(USAGE_CACHE=path)

    answers: list[Any] = [client.get(query(0, 9), headers=bearer(KEY)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].get_json() == newapi.read("usage" + query(0, 9).partition("usage")[2])
    said = [line for line in caplog.messages if line.startswith("the usage cache cannot be used")]
    assert len(said) == 1


@on_sqlite
def test_on_a_full_disk_the_logs_are_read(
    newapi: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(newapi, 20_000)
    app = newapi.app(USAGE_CACHE=str(tmp_path / "usage.db"))
    file = app.extensions["billing"].usage_cache.file
    file.mark()
    # As it is when no page can be added; the limit is this connection's.
    file._thread.connection.execute("PRAGMA max_page_count = 1")

    full = app.test_client().get(query(0, 9), headers=bearer(KEY))
    later = app.test_client().get(query(0, 9), headers=bearer(KEY))

    expected = newapi.read("usage" + query(0, 9).partition("usage")[2])
    assert (full.get_json(), later.get_json()) == (expected, expected)
    assert "database or disk is full" in caplog.text


@on_sqlite
def test_one_place_for_heavy_reads_is_enough_for_a_first_question(
    newapi: Gateway, tmp_path: Path
) -> None:
    fill(newapi, 1000)
    client = newapi.client(USAGE_CACHE=str(tmp_path / "usage.db"), HEAVY_READS="1")
    end = START + 10 * DAY
    path = f"/v1/organization/costs?start_time={START}&end_time={end}&group_by=api_key_id"

    answer = client.get(path, headers=bearer(KEY))

    assert answer.status_code == 200
    assert len(answer.get_json()["data"]) == 7
    assert (tmp_path / "usage.db").exists()
