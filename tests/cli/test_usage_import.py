"""`flask usage import`: good lines are kept, bad ones named, whatever the file holds."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import Billing
from tests.support.processes import ROOT, environment, flask

GOOD = {"token_id": 1, "model": "m", "quota": 7}


@pytest.fixture
def ready(billing: Billing) -> Billing:
    """With one user and one token, number 1."""
    billing.user("alice", 1000)
    billing.token("alice", "--quota", "1000")
    return billing


def lines(*values: Any) -> bytes:
    """A file of those lines; bytes stand as they are."""
    return b"".join(
        (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n"
        for value in values
    )


def imported(billing: Billing, content: bytes, status: int = 0) -> dict[str, Any]:
    printed = billing.run("usage", "import", "-", "--json", status=status, input=content)
    counts: dict[str, Any] = json.loads(printed)
    return counts


def used(billing: Billing) -> int:
    quota: int = billing.json("token", "show", "1")["used_quota"]
    return quota


def test_every_field_of_a_line_is_recorded(ready: Billing) -> None:
    use = {**GOOD, "prompt_tokens": 3, "completion_tokens": 4, "at": 1_700_000_000}
    refund = {**GOOD, "usd": 0.000004, "at": "2023-11-14T22:13:21Z", "refund": True}
    del refund["quota"]

    said = imported(ready, lines({**use, "request_id": "r"}, {**refund, "request_id": "r"}))

    assert said == {"recorded": 2, "skipped": 0, "bad": []}
    logged = ready.execute(
        "SELECT token_id, token_name, username, model_name, type, quota, prompt_tokens,"
        " completion_tokens, created_at, request_id FROM logs WHERE type <> 1 ORDER BY id"
    )
    assert logged == [
        (1, "default", "alice", "m", 2, 7, 3, 4, 1_700_000_000, "r"),
        (1, "default", "alice", "m", 6, 2, 0, 0, 1_700_000_001, "r"),
    ]
    assert used(ready) == 5


def test_blank_lines_crlf_a_bom_and_a_missing_last_newline_are_fine(ready: Billing) -> None:
    line = json.dumps(GOOD).encode()

    said = imported(ready, b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n\n" + line + b"\r\n" + line)

    assert said == {"recorded": 3, "skipped": 0, "bad": []}
    assert used(ready) == 21


def without(name: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **more}.items() if key != name}


NOT_TEXT = "not 1 to 64 printable characters"
NOT_COUNT = "not a whole number from 0 to 2^53"
NOT_TOKENS = "not a whole number from 0 to 2^40"
NOT_TIME = "not a date, an ISO 8601 time or unix seconds"
BAD: list[tuple[Any, str]] = [
    (b"junk", "not JSON"),
    (b'{"token_id": 1', "not JSON"),
    (b"\xff\xfe{}", "not JSON"),
    (b'{"model": "\xe9"}', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"quota": ' + b"9" * 5000 + b"}", "not JSON"),
    ([], "not a JSON object"),
    (b"null", "not a JSON object"),
    (b"7", "not a JSON object"),
    (without("token_id"), "token_id: Missing data for required field"),
    (without("model"), "model: Missing data for required field"),
    ({**GOOD, "token_id": "1"}, "token_id: Not a valid integer"),
    ({**GOOD, "token_id": 9}, "no token 9"),
    ({**GOOD, "token_id": 10**30}, f"token_id: {NOT_COUNT}"),
    ({**GOOD, "model": ""}, f"model: {NOT_TEXT}"),
    ({**GOOD, "model": "m" * 65}, f"model: {NOT_TEXT}"),
    ({**GOOD, "model": "\ud800"}, f"model: {NOT_TEXT}"),
    ({**GOOD, "model": 4}, "model: Not a valid string"),
    ({**GOOD, "request_id": "r" * 65}, f"request_id: {NOT_TEXT}"),
    ({**GOOD, "request_id": " r"}, f"request_id: {NOT_TEXT}"),
    ({**GOOD, "colour": 1}, "colour: Unknown field"),
    ({**GOOD, "\x1b[31m\n": 1}, "?[31m?: Unknown field"),
    ({**GOOD, "c" * 10**6: 1}, "c" * 200),
    (without("quota"), "give one of quota and usd"),
    ({**GOOD, "usd": 1}, "give one of quota and usd"),
    ({**GOOD, "quota": -1}, f"quota: {NOT_COUNT}"),
    ({**GOOD, "quota": 2**53 + 1}, f"quota: {NOT_COUNT}"),
    ({**GOOD, "quota": 1.5}, "quota: Not a valid integer"),
    ({**GOOD, "quota": "1"}, "quota: Not a valid integer"),
    ({**GOOD, "quota": True}, "quota: Not a valid integer"),
    ({**GOOD, "quota": float("nan")}, "quota: Not a valid integer"),
    (b'{"token_id": 1, "model": "m", "quota": 1e999}', "quota: Not a valid integer"),
    (without("quota", usd=-1), "usd: not a number of dollars from 0"),
    (without("quota", usd=1e30), "usd: more than 2^53 quota units"),
    (b'{"token_id": 1, "model": "m", "usd": 1e999999}', "usd: not a number of dollars from 0"),
    (
        without("quota", usd=float("inf")),
        "usd: Special numeric values (nan or infinity) are not permitted",
    ),
    (without("quota", usd=True), "usd: Not a valid number"),
    (without("quota", usd=[]), "usd: Not a valid number"),
    ({**GOOD, "prompt_tokens": -1}, f"prompt_tokens: {NOT_TOKENS}"),
    ({**GOOD, "completion_tokens": 10**18}, f"completion_tokens: {NOT_TOKENS}"),
    ({**GOOD, "at": "yesterday"}, f"at: {NOT_TIME}"),
    ({**GOOD, "at": 1_700_000_000_000}, f"at: {NOT_TIME}"),
    ({**GOOD, "at": 1.5}, f"at: {NOT_TIME}"),
    ({**GOOD, "refund": "yes"}, "refund: Not a valid boolean"),
    ({**GOOD, "refund": 1}, "refund: Not a valid boolean"),
    ({**GOOD, "refund": 0.0}, "refund: Not a valid boolean"),
    *(
        (without("quota", usd=text), "usd: not a number of dollars from 0")
        for text in ("1_0", "  5 ", "5\n", "+5", "٣", "NaN", "")
    ),
    (b'{"token_id": 1, "model": "m", "quota": 1, "quota": 7}', "a field is given twice"),
    (b'{"token_id": 1, "model": "m", "quota": 7, "quota": 7}', "a field is given twice"),
    (b" " * 2**20 + b"{}", "longer than 1048576 bytes"),
]


def test_every_bad_line_is_named_and_the_good_ones_are_kept(ready: Billing) -> None:
    content = lines(*(value for bad, _ in BAD for value in (bad, GOOD)))

    said = imported(ready, content, status=1)

    named = [(bad["line"], bad["reason"]) for bad in said["bad"]]
    assert named == [(2 * at + 1, reason) for at, (_, reason) in enumerate(BAD)]
    assert (said["recorded"], said["skipped"]) == (len(BAD), 0)
    assert used(ready) == 7 * len(BAD)


def test_bad_lines_are_printed_before_the_counts(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    sqlite_billing.token()

    output = sqlite_billing.run(
        *("usage", "import", "-"), input=lines(GOOD, b"junk", {**GOOD, "token_id": 9}), status=1
    )

    assert output == (
        "line 2: not JSON\nline 3: no token 9\nrecorded  1\nskipped   0\nbad       2\n"
    )


def test_dollars_may_be_a_text_that_is_spelled_like_a_number(ready: Billing) -> None:
    said = imported(ready, lines(without("quota", usd="0.00001"), without("quota", usd=1e-5)))

    assert said == {"recorded": 2, "skipped": 0, "bad": []}
    assert used(ready) == 10


def test_a_wrong_file_is_given_up_after_a_thousand_bad_lines(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    sqlite_billing.token()

    output = sqlite_billing.run(
        *("usage", "import", "-"), input=lines(GOOD) + b"junk\n" * 5000 + lines(GOOD), status=1
    )

    *bad, recorded, _, count, error = output.splitlines()
    assert bad == [f"line {number}: not JSON" for number in range(2, 1002)]
    assert (recorded, count) == ("recorded  1", "bad       1000")
    assert error == (
        "Error: stopped after 1000 bad lines (--max-bad): lines from 1002 on are not recorded,"
        " good ones before are"
    )
    assert used(sqlite_billing) == 7


def test_max_bad_says_how_many_bad_lines_are_too_many(ready: Billing) -> None:
    content = lines(GOOD, b"junk", GOOD, b"junk", GOOD)

    few = ready.run("usage", "import", "-", "--max-bad", "2", status=1, input=content)
    more = ready.run("usage", "import", "-", "--max-bad", "3", status=1, input=content)

    assert "recorded  2" in few
    assert "lines from 5 on" in few
    assert "recorded  3" in more
    assert "stopped" not in more


#: Runs a command and prints its greatest memory in MB.
MEASURE = """
import os, resource, subprocess, sys
with open(os.devnull, "wb") as nowhere:
    subprocess.run([os.path.join(os.path.dirname(sys.executable), "flask"), *sys.argv[1:]],
                   stdout=nowhere, stderr=nowhere)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("line", [b"x" * 19 + b"\n", b"x"], ids=["lines", "one line"])
def test_a_wrong_file_of_40_mb_takes_no_memory(
    sqlite_billing: Billing, tmp_path: Path, line: bytes
) -> None:
    wrong, small = tmp_path / "wrong", tmp_path / "small"
    wrong.write_bytes(line * (40_000_000 // len(line)))
    small.write_bytes(b"junk\n")
    most = []

    for file in (small, wrong):
        ended = subprocess.run(
            [sys.executable, "-c", MEASURE, "usage", "import", str(file)],
            cwd=ROOT,
            env=environment(sqlite_billing.env),
            capture_output=True,
            text=True,
            timeout=120,
        )
        most.append(int(ended.stdout.split()[-1]))

    assert most[1] - most[0] < 20


def test_importing_a_file_again_records_nothing_twice(ready: Billing, tmp_path: Path) -> None:
    file = tmp_path / "usage.jsonl"
    file.write_bytes(
        lines(*({**GOOD, "quota": 1, "request_id": f"r{number}"} for number in range(2500)))
    )

    first = ready.json("usage", "import", str(file))
    again = ready.json("usage", "import", str(file))

    assert first == {"recorded": 2500, "skipped": 0, "bad": []}
    assert again == {"recorded": 0, "skipped": 2500, "bad": []}
    assert used(ready) == 2500
    assert ready.json("user", "show", "alice")["request_count"] == 2500


def test_a_request_id_with_other_content_is_a_bad_line(ready: Billing) -> None:
    one = {**GOOD, "request_id": "r", "at": 1_700_000_000}
    imported(ready, lines(one))

    others = [{**one, "quota": 8}, {**one, "model": "n"}, {**one, "at": 1_700_000_001}]
    said = imported(ready, lines(one, *others), status=1)

    reason = "its request_id has other content already"
    assert said == {
        "recorded": 0,
        "skipped": 1,
        "bad": [{"line": line, "reason": reason} for line in (2, 3, 4)],
    }
    assert used(ready) == 7


def test_an_empty_file_is_no_error(ready: Billing) -> None:
    assert imported(ready, b"") == {"recorded": 0, "skipped": 0, "bad": []}


@pytest.mark.parametrize(
    ("name", "reason"), [("missing", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named(
    sqlite_billing: Billing, tmp_path: Path, name: str, reason: str
) -> None:
    file = str(tmp_path / name)

    output = sqlite_billing.run("usage", "import", file, status=2)

    assert output.splitlines()[-1] == f"Error: Invalid value for 'FILE': '{file}': {reason}"


def test_a_full_disk_stops_an_import_with_nothing_half_recorded(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    sqlite_billing.user()
    sqlite_billing.token("alice", "--unlimited")
    file = tmp_path / "usage.jsonl"
    file.write_bytes(
        lines(b"junk", *({**GOOD, "request_id": f"{number:064}"} for number in range(10_000)))
    )
    limit = 1_000_000

    full = flask(
        sqlite_billing.env,
        *("usage", "import", str(file), "--json"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    recorded = json.loads(full.stdout)["recorded"]
    first = recorded + 2
    assert full.stderr.startswith("Error: OperationalError: disk I/O error (")
    assert full.stderr.endswith(f": lines from {first} on are not recorded, those before are\n")
    assert full.stderr.count("\n") == 1
    assert 0 < recorded < 10_000
    assert used(sqlite_billing) == 7 * recorded
    again = imported(sqlite_billing, file.read_bytes(), status=1)
    assert again["recorded"] == 10_000 - recorded
    assert used(sqlite_billing) == 7 * 10_000


def test_a_progress_bar_is_drawn_on_a_terminal_alone(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    sqlite_billing.user()
    sqlite_billing.token()
    file = tmp_path / "usage.jsonl"
    file.write_bytes(lines(GOOD))
    command = [str(Path(sys.executable).with_name("flask")), "usage", "import", str(file)]
    ours, theirs = pty.openpty()
    env = environment({**sqlite_billing.env, "TERM": "xterm"})

    plain = flask(sqlite_billing.env, *command[1:])
    subprocess.run(command, cwd=ROOT, env=env, stdout=theirs, stderr=theirs, check=True)
    os.close(theirs)

    with open(ours, "rb", buffering=0) as terminal:
        drawn = terminal.read(4096)
    assert b"importing" in drawn
    assert b"100%" in drawn
    assert (plain.stdout, plain.stderr) == ("recorded  1\nskipped   0\nbad       0\n", "")
