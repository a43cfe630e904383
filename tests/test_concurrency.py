"""Many processes write at once: sums exact, nothing lost, nothing raised, nothing twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import Billing
from tests.servers import ROOT, environment

RECORD = """
from billing import tables
from billing.db import Handle
from billing.record import Usage, record
from config import Settings

handle = Handle(Settings.from_env().database_url, 10, "write")
with handle.database.bind_ctx(tables.MODELS):
    for number in range(200):
        record(handle.database, [Usage(1, "m", number, 1, 2, 1_700_000_000)])
handle.close()
"""


def together(billing: Billing, commands: list[list[str]]) -> list[str]:
    """Run the commands at once; what each printed, in any order. None may fail or complain."""
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
    ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [(error, status) for (_, error), status in ended] == [("", 0)] * len(commands)
    return [output for (output, _), _ in ended]


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
    flask = str(Path(sys.executable).with_name("flask"))

    said = together(billing, [[flask, "usage", "import", str(file)]] * 4)

    counts = [[int(line.split()[1]) for line in output.splitlines()] for output in said]
    assert [sum(column) for column in zip(*counts, strict=True)] == [3000, 9000, 0]
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
