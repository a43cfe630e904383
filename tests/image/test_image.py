"""What is in the image, and what a container of it does from its first start to its stop."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from billing.version import VERSION
from tests.support.background_load import LONGEST, RIGHT, STARTING, BackgroundLoad
from tests.support.containers import Container, Image
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.http_client import ask, bearer
from tests.support.processes import ROOT, VERSIONS
from tests.support.site import SUBSCRIPTION

Start = Callable[..., Container]

MEGABYTE = 1_000_000


def printed_key(container: Container) -> str:
    """The key that a first start prints."""
    (key,) = re.findall(r"(?m)^key +(sk-\w{48})$", container.log)
    return str(key)


def test_the_image_is_small_and_holds_no_compiler(image: Image) -> None:
    VERSIONS.add(f"an image of {image.size / MEGABYTE:.0f} MB")

    assert image.size < 200 * MEGABYTE
    programs = {path.name for path in image.root.glob("usr/bin/*")}
    assert not programs & {"gcc", "cc", "make", "pip", "pip3"}
    assert not list(image.root.glob("srv/billing/.venv/bin/pip*"))


def test_the_image_holds_what_runs_and_nothing_else_of_the_checkout(image: Image) -> None:
    files = {path.name for path in image.root.joinpath("srv/billing").iterdir()}

    assert files - {"__pycache__"} == {
        *(".venv", "billing", "config.py", "deploy", "gunicorn.conf.py", "gunicorn_worker.py"),
        *("pyproject.toml", "wsgi.py"),
    }


def test_the_image_says_its_version_and_how_it_is_stopped(image: Image) -> None:
    assert image.config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["User"] == "10001:10001"
    assert image.config["Volumes"] == {"/data": {}}
    assert image.config["ExposedPorts"] == {"8000/tcp": {}}


def test_a_first_start_prints_a_key_that_works_and_a_second_start_none(start: Start) -> None:
    first = start({})
    first.wait_until_healthy()
    key = printed_key(first)
    answer = ask(first.url, SUBSCRIPTION, bearer(key))
    healthy = first.is_healthy()
    stopped = first.stop()

    second = start({})
    second.wait_until_healthy()
    again = ask(second.url, SUBSCRIPTION, bearer(key))

    assert (answer.status, answer.body) == (200, RIGHT[SUBSCRIPTION])
    assert healthy
    assert stopped == 0
    assert f"curl -H 'Authorization: Bearer {key}' {first.url}{SUBSCRIPTION}\n" in first.log
    assert first.log.count(key) == 2
    assert (again.status, again.body) == (200, RIGHT[SUBSCRIPTION])
    assert "sk-" not in second.log


def test_only_the_volume_is_written(start: Start, data: Path) -> None:
    container = start({"METRICS": "true"})
    container.wait_until_healthy()

    written = {path.name for path in data.iterdir()}
    folders = "/ /srv/billing /srv/billing/billing /tmp /var/tmp /run /etc /dev /data /dev/shm"
    attempts = f"for folder in {folders}; do touch $folder/x && echo $folder; done"
    writable = container.run("sh", "-c", attempts).stdout.split()

    assert "billing.db" in written <= {"billing.db", "billing.db-shm", "billing.db-wal"}
    # gunicorn's own files are in memory, in the folder that each container is given for that.
    assert writable == ["/data", "/dev/shm"]  # noqa: S108


#: Sorts 18 MB, of which SQLite holds 2 in memory.
SORT = """
import sqlite3
connection = sqlite3.connect("")
connection.execute("CREATE TABLE t (a)")
rows = ((str(number * 7919 % 300007).zfill(60),) for number in range(300000))
connection.executemany("INSERT INTO t VALUES (?)", rows)
print(len(connection.execute("SELECT a FROM t ORDER BY a DESC").fetchall()))
"""


def test_sqlite_sorts_more_than_it_holds_in_memory(start: Start) -> None:
    container = start({}, "python", "-c", SORT)

    assert container.process.wait(60) == 0
    assert container.log == "300000\n"


def test_the_commands_run_inside(start: Start) -> None:
    container = start({})
    container.wait_until_healthy()

    made = container.run("flask", "token", "add", "first", "--unlimited", "--json")
    checked = container.run("flask", "check")
    backup = container.run("flask", "backup", "/data/copy.db")

    key = json.loads(made.stdout)["key"]
    assert ask(container.url, SUBSCRIPTION, bearer(key)).status == 200
    assert (checked.returncode, checked.stderr) == (0, "")
    assert backup.returncode == 0


def test_a_command_may_take_the_place_of_the_server(start: Start) -> None:
    container = start({}, "flask", "version", "--json")

    assert container.process.wait(30) == 0
    version = json.loads(container.log)
    assert version["billing"] == VERSION


def test_mysqlclient_is_the_driver_of_mysql(start: Start) -> None:
    address = "mysql://billing:secret@127.0.0.1:1/billing"

    container = start({"DATABASE_URL": address}, "flask", "version", "--json")

    assert container.process.wait(30) == 0
    assert json.loads(container.log)["database driver"].startswith("mysqlclient ")


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"WEB_CONCURRENCY": "none"}, "WEB_CONCURRENCY must be a whole number from 1 to 256"),
        (
            {"BILLING_MODE": "attached", "OPTIONS_REFRESH": "0"},
            "OPTIONS_REFRESH must be seconds from 1 to 86400",
        ),
        (
            {"DATABASE_URL": "mysql://billing:hunter2@127.0.0.1:1/billing"},
            "Error: the database failed: OperationalError: (2002, ",
        ),
        (
            {"BILLING_MODE": "attached"},
            "cannot serve: no file /data/billing.db: correct DATABASE_URL",
        ),
        (
            {"BILLING_MODE": "attached", "DATABASE_URL": "mysql://b:hunter2@127.0.0.1:1/newapi"},
            "cannot serve: OperationalError: (2002, ",
        ),
    ],
)
def test_what_is_wrong_ends_the_start_with_one_line(
    start: Start, env: dict[str, str], line: str
) -> None:
    container = start(env)

    assert container.process.wait(30) > 0
    assert container.log.startswith(line)
    assert container.log.count("\n") == 1
    assert "hunter2" not in container.log


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """new-api's SQLite file with a token in it, in a folder as its own container leaves one."""
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.token(gateway.user())
        # The test's own folder is root's alone.
        tmp_path.chmod(0o755)
        yield gateway


ATTACHED = {"BILLING_MODE": "attached", "DATABASE_URL": "sqlite:////gateway/one-api.db"}


def test_it_reads_the_volume_of_a_gateway_and_changes_nothing(
    start: Start, gateway: Gateway, data: Path, tmp_path: Path
) -> None:
    before = (tmp_path / "one-api.db").read_bytes()
    container = start(ATTACHED, volumes={"/gateway": tmp_path})
    container.wait_until_healthy()

    answer = ask(container.url, SUBSCRIPTION, bearer(f"sk-{KEY}"))
    checked = container.run("flask", "check", "--json")

    assert answer.json["hard_limit_usd"] == 1000 / 500_000
    assert json.loads(checked.stdout)["gateway"] == "new-api, v0.10.8 or later"
    assert (tmp_path / "one-api.db").read_bytes() == before
    assert not list(tmp_path.glob("one-api.db-*"))
    assert not list(data.iterdir())
    assert "sk-" not in container.log


def test_a_gateways_file_that_may_not_be_read_ends_the_start(
    start: Start, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "one-api.db").chmod(0o600)

    container = start(ATTACHED, volumes={"/gateway": tmp_path})

    assert container.process.wait(30) == 2
    assert container.log == (
        "cannot serve: PermissionError: [Errno 13] Permission denied: "
        "'/gateway/one-api.db' (/gateway/one-api.db)\n"
    )


def test_warnings_of_the_check_are_logged_and_stop_nobody(
    start: Start, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.option("QuotaPerUnit", "none")

    container = start(ATTACHED, volumes={"/gateway": tmp_path})
    container.wait_until_healthy()

    assert re.search(r"(?m)^warning: .*QUOTA_PER_UNIT", container.log), container.log


def test_a_database_of_the_release_before_is_brought_up_to_date(start: Start, data: Path) -> None:
    made = ROOT / "tests" / "support" / "embedded" / "version_1_sqlite.sql"
    with closing(sqlite3.connect(data / "billing.db")) as connection:
        connection.executescript(made.read_text())
    for path in data.iterdir():
        shutil.chown(path, 10001, 10001)

    container = start({})
    container.wait_until_healthy()

    users = json.loads(container.run("flask", "user", "list", "--json").stdout)
    assert [user["username"] for user in users] == ["alice"]
    assert ask(container.url, "/readyz").status == 200
    assert "sk-" not in container.log


def test_a_stop_under_load_answers_all_that_it_logs(start: Start) -> None:
    container = start({})
    container.wait_until_healthy()
    key = printed_key(container)
    used = container.run("flask", "usage", "record", "1", "--model", "m", "--quota", "12500000")
    assert used.returncode == 0

    with BackgroundLoad(container.url, key, RIGHT, callers=8) as load:
        load.until(200, 50)
        status = container.stop()
        load.until(None, 5)

    assert status == 0
    assert not [seen for seen in load.seen if seen.cut]
    answered = [seen for seen in load.seen if seen.answer is not None]
    assert len(answered) + 1 == container.log.count('"GET /')
    load.check(lost=True, longest=LONGEST + STARTING)
