"""What the operators' commands say when they are asked for what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.support.application import Billing
from tests.support.processes import ROOT, environment

UNKNOWN = "Error: no user named 'bob': `flask user list` shows them\n"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("user show bob", UNKNOWN),
        ("user credit bob --quota 1", UNKNOWN),
        ("user disable bob", UNKNOWN),
        ("user enable bob", UNKNOWN),
        ("user delete bob", UNKNOWN),
        ("user new-access-token bob", UNKNOWN),
        ("token add bob", UNKNOWN),
        ("token list bob", UNKNOWN),
        ("user add alice", "Error: there is a user named 'alice' already, perhaps deleted\n"),
    ],
)
def test_an_unknown_or_taken_name_is_one_line(billing: Billing, command: str, line: str) -> None:
    billing.user()

    assert billing.run(*command.split(), status=1) == line


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "\udcff", "a" * 65])
@pytest.mark.parametrize("command", ["user add", "user show", "user delete", "token add"])
def test_a_name_that_cannot_be_is_refused(sqlite_billing: Billing, command: str, name: str) -> None:
    output = sqlite_billing.run(*command.split(), name, status=2)

    argument = "USER" if command == "token add" else "NAME"
    assert output.splitlines()[-1] == (
        f"Error: Invalid value for '{argument}': not 1 to 64 printable characters"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--usd 1 --quota 1", "give one of --usd and --quota"),
        ("", "give one of --usd and --quota"),
        ("--usd nan", "Invalid value for --usd: not a number of dollars from 0"),
        ("--usd -1", "Invalid value for --usd: not a number of dollars from 0"),
        ("--usd 1e99", "Invalid value for --usd: more than 2^53 quota units"),
        *(
            (
                f"--quota {text}",
                "Invalid value for '--quota': not a whole number from 0 to 9007199254740992",
            )
            for text in ("-1", "1.5", "9007199254740993", "9" * 400, "x")
        ),
    ],
)
@pytest.mark.parametrize(
    "command", ["user credit alice", "token credit 1", "usage record 1 --model m"]
)
def test_an_amount_that_cannot_be_is_refused(
    sqlite_billing: Billing, command: str, options: str, reason: str
) -> None:
    output = sqlite_billing.run(*command.split(), *options.split(), status=2)

    assert output.splitlines()[-1] == f"Error: {reason}"
    assert len(output) < 300


@pytest.mark.parametrize("id", ["0", "9223372036854775808", "9" * 400, "x", "1.0", "１"])
@pytest.mark.parametrize(
    "command",
    ["token show", "token credit --quota 1", "token revoke", "usage record --model m --quota 1"],
)
def test_an_id_that_cannot_be_is_refused(sqlite_billing: Billing, command: str, id: str) -> None:
    output = sqlite_billing.run(*command.split(), id, status=2)

    assert output.splitlines()[-1].endswith("not a whole number from 1 to 9223372036854775807")
    assert len(output) < 300


@pytest.mark.parametrize(
    "command",
    [
        "show 7",
        "edit 7 --name n",
        "credit 7 --quota 1",
        "disable 7",
        "enable 7",
        "revoke 7",
        "show 9223372036854775807",
    ],
)
def test_an_unknown_token_is_one_line(billing: Billing, command: str) -> None:
    output = billing.run("token", *command.split(), status=1)

    id = command.split()[1]
    assert output == f"Error: no token {id}: `flask token list` shows them\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("add alice --unlimited --quota 0", "--unlimited takes no amount"),
        ("add alice --unlimited --usd 1", "--unlimited takes no amount"),
        ("add alice --quota 1 --usd 1", "give one of --usd and --quota"),
        *(
            (
                f"add alice --expires {text}",
                "Invalid value for '--expires': not a date, an ISO 8601 time or unix seconds, "
                "nor like +30d",
            )
            for text in ("2026-11-31", "tomorrow", "30d", "+d", "1785931200000", "")
        ),
        (
            "add alice --expires 9999-12-31T23:59:59-01:00",
            "Invalid value for '--expires': not a time from 1970 to 9999, nor like +30d",
        ),
        *(
            (
                f"add alice --allow-ip {text}",
                "Invalid value for '--allow-ip': takes an address or a network like 10.0.0.0/8",
            )
            for text in ("300.1.1.1", "10.0.0.0/33", "localhost", "::1%eth0/64")
        ),
        ("edit 1", "name something to change"),
        ("edit 1 --any-ip --allow-ip ::1", "give one of --allow-ip and --any-ip"),
        ("edit 1 --name \x07", "Invalid value for '--name': not 1 to 64 printable characters"),
    ],
)
def test_options_that_cannot_be_are_refused(
    sqlite_billing: Billing, command: str, reason: str
) -> None:
    sqlite_billing.user()

    output = sqlite_billing.run("token", *command.split(" "), status=2)

    assert output.splitlines()[-1] == f"Error: {reason}"
    assert sqlite_billing.json("token", "list") == []


def version_to(stdout: IO[str]) -> tuple[int, str]:
    """The status and the standard error of `flask version`."""
    flask = str(Path(sys.executable).with_name("flask"))
    ended = subprocess.run(
        [flask, "version"],
        cwd=ROOT,
        env=environment({}),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stderr


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        status, error = version_to(full)

    assert status > 0
    assert error.startswith("Error: cannot read or write: [Errno 28] No space left on device\n")
    assert "Traceback" not in error


def test_a_reader_that_goes_away_is_told_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with open(writer, "w") as gone:
        ended = version_to(gone)

    assert ended == (1, "")


def test_version_names_ours_and_those_under_it(tmp_path: Path) -> None:
    billing = Billing(f"sqlite:///{tmp_path / 'missing.db'}")

    versions = billing.json("version")

    assert list(versions) == [
        "billing",
        "python",
        "flask",
        "werkzeug",
        "gunicorn",
        "peewee",
        "marshmallow",
        "pymysql",
        "database driver",
    ]
    assert billing.run("version").splitlines()[0] == f"billing          {versions['billing']}"
