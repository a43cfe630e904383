"""Starts the real servers that tests speak to, on loopback, and ends only what it started."""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

import psycopg
import pymysql
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What `SELECT VERSION()` said on each server that ran.
VERSIONS: set[str] = set()

#: What must hold no secret: every server's log, and every body of an error or of metrics.
LOGS: list[Path] = []
TOLD: set[bytes] = set()

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


def free_port() -> int:
    """A free port below the ephemeral range, where no outgoing connection can take it."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(ready: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Poll until `ready` returns something true without an OSError or a driver's error."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, pymysql.MySQLError, psycopg.Error):
            if ready():
                return
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come up within {seconds} s")


def program(name: str) -> str:
    """Where a server's program is; without it the test is skipped, or fails in CI."""
    debian = ["/usr/sbin", "/usr/local/sbin", *glob.glob("/usr/lib/postgresql/*/bin")]
    path = shutil.which(name) or shutil.which(name, path=":".join(debian))
    if path is None:
        missing(f"{name} is not installed (make test installs it on Debian as root)")
    return path


def missing(reason: str) -> NoReturn:
    """End the test, which cannot run here: a visible skip, or a failure in CI."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, whose path stands in for the host."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def ask(
    url: str, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> Answer:
    """One request, on a connection of its own. `url` is http://host:port or unix:/path."""
    scheme, _, where = url.partition(":")
    kind = _UnixConnection if scheme == "unix" else http.client.HTTPConnection
    connection = kind(where.removeprefix("//"), timeout=30)
    try:
        connection.request(method, path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if answer.status >= 400 or path == "/metrics":
            TOLD.add(answer.body)
        return answer
    finally:
        connection.close()


def exchange(port: int, *lines: bytes) -> bytes:
    """Send the lines of a request as they are; all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        received = b""
        # A server that refuses early may reset what was still being sent.
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"".join(line + b"\r\n" for line in lines) + b"\r\n")
            while chunk := connection.recv(65536):
                received += chunk
        return received


def freeze(pid: int) -> None:
    """Stop a process, and return when the last of its threads has stopped; SIGCONT wakes it."""
    os.kill(pid, signal.SIGSTOP)

    def stopped() -> bool:
        threads = Path(f"/proc/{pid}/task").glob("*/stat")
        return {path.read_text().rpartition(")")[2].split()[0] for path in threads} == {"T"}

    wait_for(stopped, "the stop of a process", 5)


class MariaDB:
    """A MariaDB server in a folder of its own, with the root account open on loopback.

    `options` are more options of the server, `data` an existing data folder to begin with.
    """

    password = "pass/w@rd:%"  # every character that a URL has to escape

    def __init__(self, *options: str, data: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="billing-mariadb-"))
        self.port, self.socket = free_port(), self.folder / "socket"
        # Root hands over to the package's own user, as state transfers between nodes want it.
        user = "--user=mysql" if os.geteuid() == 0 else f"--user={os.environ.get('USER', '')}"
        self._command = [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={self.folder / 'pid'}",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
            user,
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None
        if data is not None:
            shutil.copytree(data, self.folder / "data")
            self._hand_over()
            return
        self._hand_over()
        subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                user,
            ],
            check=True,
            capture_output=True,
        )
        self.start()
        VERSIONS.add(str(self.execute("SELECT VERSION()")[0][0]))
        self.execute("CREATE USER billing@localhost IDENTIFIED BY %s", self.password)
        self.execute("CREATE USER billing@'127.0.0.1' IDENTIFIED BY %s", self.password)
        self.execute("GRANT ALL ON `billing%%`.* TO billing@localhost")
        self.execute("GRANT ALL ON `billing%%`.* TO billing@'127.0.0.1'")

    def _hand_over(self) -> None:
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "mysql:", self.folder], check=True)

    def start(self, *options: str) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen([*self._command, *options], stdout=log, stderr=log)
        wait_for(lambda: self.listens() and self.execute("SELECT 1"), "MariaDB")

    def listens(self) -> bool:
        """Whether it may be asked: PyMySQL leaves a socket open when nobody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """As a power cut ends it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def connect(self, database: str | None = None) -> pymysql.Connection:
        """A connection as root."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            autocommit=True,
            ssl_disabled=True,
        )

    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple]:
        """Run one statement as root."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def url(self, name: str) -> str:
        return f"mysql://billing:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; yields its URL."""
        name = f"billing_{random.randrange(10**12)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


#: Starts a program as systemd does for a socket unit.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Gunicorn:
    """The service as the Procfile starts it, on a free port; its log is in `log`.

    `held` is a listening unix socket to serve instead, as systemd would pass it on; `wrapper` is a
    command that starts the server.
    """

    def __init__(
        self,
        env: dict[str, str],
        folder: Path,
        *options: str,
        held: socket.socket | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.port, self.log_path = free_port(), folder / f"gunicorn-{random.randrange(10**9)}.log"
        LOGS.append(self.log_path)
        self.url = f"unix:{held.getsockname()}" if held else f"http://127.0.0.1:{self.port}"
        if held:
            wrapper = [sys.executable, "-c", _ACTIVATE, str(held.fileno())]
        self._workers = int(env.get("WEB_CONCURRENCY", "2"))
        log = self.log_path.open("wb")
        with log:
            self.process = subprocess.Popen(
                [*wrapper, *self._command(), *options, "wsgi:app"],
                cwd=ROOT,
                env=environment(env),
                stdout=log,
                stderr=log,
                pass_fds=[held.fileno()] if held else [],
            )
        try:
            wait_for(self._healthy, type(self).__name__)
        except TimeoutError:
            self.close()
            raise AssertionError(self.log) from None

    def _command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("gunicorn")), f"--bind=127.0.0.1:{self.port}"]

    def _healthy(self) -> bool:
        return ask(self.url, "/healthz").status == 200 and len(self.workers()) == self._workers

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def workers(self) -> list[int]:
        """The worker processes' ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Granian(Gunicorn):
    """The service under another server, as docs/deploy.md starts it."""

    def _command(self) -> list[str]:
        return [
            str(Path(sys.executable).with_name("granian")),
            *("--interface=wsgi", "--blocking-threads=1", f"--workers={self._workers}"),
            # Else it would wait for a worker that hangs while it stops, for ever.
            "--workers-kill-timeout=10",
            *("--host=127.0.0.1", f"--port={self.port}"),
        ]


class Nginx:
    """nginx with deploy/nginx.conf on a free port, in front of the unix socket `upstream`.

    `changes` are more replacements in that file, old text to new; `gateway` is the address that
    gets what is not ours.
    """

    def __init__(
        self, folder: Path, upstream: Path, changes: Mapping[str, str], gateway: str = ""
    ) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"
        config = (ROOT / "deploy" / "nginx.conf").read_text()
        for old, new in {
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/": f"{folder}/",
            "/run/billing/gunicorn.sock": str(upstream),
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            **(
                {"127.0.0.1:3000": gateway}
                if gateway
                else {"proxy_pass http://gateway;": "return 404;"}
            ),
            "http {": f"http {{\n{self._temporary()}",
            **changes,
        }.items():
            assert old in config, f"deploy/nginx.conf has no {old!r}"
            config = config.replace(old, new)
        (folder / "nginx.conf").write_text(config)
        LOGS.append(folder)
        self.process = subprocess.Popen(
            [
                program("nginx"),
                *("-e", f"{folder}/error.log"),
                *("-c", f"{folder}/nginx.conf"),
                *("-g", "daemon off;"),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: self.process.poll() or ask(self.url, "/"), "nginx")
            if self.process.poll():
                raise TimeoutError
        except TimeoutError:
            self.close()
            raise AssertionError(self.log) from None

    def _temporary(self) -> str:
        """Only root may use the folders that nginx was built with."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)

    @property
    def log(self) -> str:
        """All that it logged, of starts, errors and requests."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


class Redis:
    """A Redis server in memory alone, open on loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir()]
        self.process = subprocess.Popen(
            [program("redis-server"), "--port", str(self.port), *options],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._up, "Redis")

    def _up(self) -> bool:
        return exchange(self.port, b"PING", b"QUIT").startswith(b"+PONG")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


def environment(env: dict[str, str]) -> dict[str, str]:
    """The variables of a subprocess: nothing of the tester's settings leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    folder = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{folder}:{kept.get('PATH', '')}", "PYTHONUTF8": "1", **env}


def flask(env: dict[str, str], *arguments: str, **more: object) -> subprocess.CompletedProcess:
    """Run `flask …` as an operator does."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("flask")), *arguments],
        cwd=ROOT,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )


class PostgreSQL:
    """A PostgreSQL server in a folder of its own, open to every role on loopback.

    With a `primary` it is a standby that follows it.
    """

    def __init__(self, primary: PostgreSQL | None = None) -> None:
        as_root = os.geteuid() == 0
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if as_root else {}
        server = program("postgres")
        self.folder = Path(tempfile.mkdtemp(prefix="billing-postgresql-"))
        if as_root:
            shutil.chown(self.folder, "postgres", "postgres")
        self.port = free_port()
        data = str(self.folder / "data")
        make = [program("initdb"), "-A", "trust", "--locale=C.UTF-8"]
        if primary is not None:
            make = [program("pg_basebackup"), "-R", "-h", "127.0.0.1", "-p", str(primary.port)]
            make += ["--checkpoint=fast"]
        subprocess.run(
            [*make, "-D", data, "-U", "postgres", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._user,
        )
        self._command = [server, "-D", data, "-p", str(self.port), "-k", str(self.folder)]
        self._command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        VERSIONS.add(str(self.execute("SELECT split_part(version(), ' (', 1)")[0][0]))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self.folder, **self._user
            )
        wait_for(lambda: self.execute("SELECT 1"), "PostgreSQL")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def execute(self, sql: str, *parameters: object, database: str = "postgres") -> list[tuple]:
        """Run one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def url(self, name: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; yields its name."""
        name = f"gateway_{random.randrange(10**12)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
