"""Many processes write at once: sums exact, nothing lost, nothing raised, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.processes import ROOT, environment

FLASK = str(Path(sys.executable).with_name("flask"))
RECORD = """
from billing.database import schema
from billing.database.connection import Database
from billing.core.recording import Usage, record
from config import Settings

database = Database(Settings.from_env().database_url, 10, "write")
with database.peewee.bind_ctx(schema.MODELS):
    for number in range(200):
        record(database.peewee, [Usage(1, "m", number, 1, 2, 1_700_000_000)])
database.close()
"""


def together(billing: Billing, commands: list[list[str]]) -> list[str]:
    """Run the commands at once; what each printed. None may complain."""
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment({**billing.env, "PYTHONPATH": str(ROOT)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [error for _, error in ended] == [""] * len(commands)
    return [output for output, _ in ended]


def totals(said: list[str]) -> tuple[int, int, int]:
    """What several imports recorded, skipped and refused."""
    read = [json.loads(output) for output in said]
    return (
        sum(one["recorded"] for one in read),
        sum(one["skipped"] for one in read),
        sum(len(one["bad"]) for one in read),
    )


@pytest.mark.stress
def test_8_processes_record_200_uses_each_on_one_token(billing: Billing) -> None:
    billing.user("alice", 10**6)
    billing.token("alice", "--quota", "1000000")

    together(billing, [[sys.executable, "-W", "error", "-c", RECORD]] * 8)

    spent = 8 * sum(range(200))
    assert billing.execute("SELECT remain_quota, used_quota FROM tokens") == [
        (10**6 - spent, spent)
    ]
    assert billing.execute("SELECT quota, used_quota, request_count FROM users") == [
        (10**6 - spent, spent, 1600)
    ]
    assert billing.execute("SELECT quota, token_used, count FROM quota_data") == [
        (spent, 4800, 1600)
    ]
    logged = billing.execute("SELECT quota, count(*) FROM logs WHERE type = 2 GROUP BY quota")
    assert sorted(logged) == [(number, 8) for number in range(200)]


@pytest.mark.stress
def test_4_imports_of_one_file_record_each_line_once(billing: Billing, tmp_path: Path) -> None:
    billing.user("alice", 10**6)
    for _ in range(3):
        billing.token("alice", "--unlimited")
    file = tmp_path / "usage.jsonl"
    file.write_text(
        "".join(
            f'{{"token_id": {1 + number % 3}, "model": "m", "quota": {number},'
            f' "at": 1700000000, "request_id": "r{number}"}}\n'
            for number in range(3000)
        )
    )

    said = together(billing, [[FLASK, "usage", "import", "--json", str(file)]] * 4)

    assert totals(said) == (3000, 9000, 0)
    used = [sum(range(first, 3000, 3)) for first in range(3)]
    assert billing.execute("SELECT used_quota FROM tokens ORDER BY id") == [
        (total,) for total in used
    ]
    assert billing.execute("SELECT quota, used_quota, request_count FROM users") == [
        (10**6 - sum(used), sum(used), 3000)
    ]
    assert billing.execute("SELECT quota, count FROM quota_data ORDER BY token_id") == [
        (total, 1000) for total in used
    ]
    assert billing.execute("SELECT count(*) FROM logs WHERE type = 2") == [(3000,)]


@pytest.mark.stress
def test_of_many_users_of_one_request_id_one_is_recorded(billing: Billing, tmp_path: Path) -> None:
    commands = []
    for number in range(1, 5):
        billing.user(f"user-{number}")
        billing.token(f"user-{number}", "--unlimited")
        lines = [
            f'{{"token_id": {number}, "model": "m", "quota": 1, "request_id": "r{id}"}}\n'
            for id in range(1000)
        ]
        file = tmp_path / f"{number}.jsonl"
        # Opposite orders, so that the writers wait for each other's rows in a circle.
        file.write_text("".join(lines if number % 2 else lines[::-1]))
        commands.append([FLASK, "usage", "import", "--json", "--max-bad", "2000", str(file)])

    said = together(billing, commands)

    assert totals(said) == (1000, 0, 3000)
    for table in ("tokens", "users"):
        assert billing.execute(f"SELECT sum(used_quota) FROM {table}") == [(1000,)]
    assert billing.execute("SELECT count(*) FROM logs WHERE type = 2") == [(1000,)]
