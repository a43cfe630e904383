"""What operators and callers are told when the database is none of ours, broken or away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.application import Billing
from tests.support.mariadb import MariaDB

WRONG = [
    "user list",
    "user add alice",
    "token list",
    "usage record 1 --model m --quota 1",
    "usage import -",
]


@pytest.mark.parametrize("command", [*WRONG, "backup copy.db"])
def test_before_init_every_command_names_it(tmp_path: Path, command: str) -> None:
    path = tmp_path / "billing.db"
    billing = Billing(f"sqlite:///{path}")

    output = billing.run(*command.split(), status=1)

    assert output == (
        f"Error: the database failed: no file {path}: restore it, "
        "or run `flask init` for a new one\n"
    )
    assert not path.exists()


@pytest.mark.parametrize("command", WRONG)
def test_an_empty_database_asks_for_init(mariadb: MariaDB, command: str) -> None:
    with mariadb.database() as url:
        output = Billing(url).run(*command.split(), status=1)

    assert output == "Error: the database does not hold our tables yet: run `flask init`\n"


@pytest.mark.parametrize("command", ["init", "quickstart"])
@pytest.mark.parametrize("folder", ["/proc", "{}/missing", "{}/file"])
def test_a_database_that_cannot_be_made_is_one_line(
    tmp_path: Path, folder: str, command: str
) -> None:
    (tmp_path / "file").touch()
    path = f"{folder.format(tmp_path)}/billing.db"

    output = Billing(f"sqlite:///{path}").run(command, status=1)

    assert output == f"Error: cannot make {path}: no such folder, or no right to\n"


@pytest.mark.parametrize("command", ["init", "quickstart", *WRONG])
def test_a_file_that_is_no_database_is_named_and_kept(tmp_path: Path, command: str) -> None:
    path = tmp_path / "billing.db"
    path.write_text("precious " * 1000)

    output = Billing(f"sqlite:///{path}").run(*command.split(), status=1)

    assert output == (
        f"Error: the database failed: DatabaseError: file is not a database ({path})\n"
    )
    assert path.read_text() == "precious " * 1000


@pytest.mark.parametrize("command", WRONG[:3])
def test_a_corrupt_database_is_one_line(sqlite_billing: Billing, command: str) -> None:
    sqlite_billing.user("bob")
    path = sqlite_billing.app.extensions["billing"].settings.database_url.path
    sqlite_billing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    output = sqlite_billing.run(*command.split(), status=1)

    assert output == (
        f"Error: the database failed: DatabaseError: database disk image is malformed ({path})\n"
    )


@pytest.mark.parametrize("command", ["init", "quickstart", *WRONG])
def test_mysqls_refusals_are_one_line(mariadb: MariaDB, command: str) -> None:
    for url, reason in (
        (mariadb.url("billing_nowhere"), "(1049, \"Unknown database 'billing_nowhere'\")"),
        (mariadb.url("mysql").replace("pass", "fail"), '(1045, "Access denied for user'),
        # The drivers have different codes and words for this.
        ("mysql://u:p@127.0.0.1:1/billing", "(200"),
    ):
        output = Billing(url).run(*command.split(), status=1)

        assert output.startswith(f"Error: the database failed: OperationalError: {reason}")
        assert output.count("\n") == 1
        assert "p@ss" not in output
        assert "fail%2F" not in output


SUBSCRIPTION = {"error": {"message": "获取配额失败", "type": "upstream_error"}}
USAGE = {"error": {"message": "获取使用量失败", "type": "new_api_error"}}


@pytest.mark.parametrize(("content", "status"), [(None, 503), ("", 500), ("junk" * 999, 500)])
def test_over_such_a_database_callers_get_the_documented_bodies(
    tmp_path: Path, content: str | None, status: int
) -> None:
    path = tmp_path / "billing.db"
    if content is not None:
        path.write_text(content)
    billing = Billing(f"sqlite:///{path}")
    client, headers = billing.client(), {"Authorization": "Bearer sk-x"}

    limits = client.get("/v1/dashboard/billing/subscription", headers=headers)
    used = client.get("/v1/dashboard/billing/usage", headers=headers)
    ready = client.get("/readyz", headers={"Accept-Language": "en"})

    billing.close()
    assert [limits.status_code, used.status_code, ready.status_code] == 3 * [status]
    assert (limits.json, used.json) == (SUBSCRIPTION, USAGE)
    assert ready.get_json()["error"]["code"] == (
        "database_unavailable" if status == 503 else "internal_error"
    )
    assert limits.headers.get("Retry-After") == ("2" if status == 503 else None)
