"""The image of the Dockerfile, built by buildah without a daemon, and its containers, run by crun.

A container has what Docker gives it: processes, files and users of its own, as few rights as
`--read-only --cap-drop ALL --security-opt no-new-privileges`. The network is the machine's.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.http_client import ask
from tests.support.processes import CACHE, ROOT, free_port, missing, program, wait_for
from tests.support.secrets import SERVER_LOGS

#: Debian with Python: tests/install-base makes it, for machines that reach no registry.
BASE = CACHE / "base.tar"

#: The machine's authorities, by which pip in a build knows its index.
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

#: crun refuses machines whose control groups are of both versions, though it is to use none: it is
#: shown the second alone.
_UNIFIED = (
    *("unshare", "--mount", "sh", "-c"),
    *('mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "crun"),
)

#: Where the image expects its one folder that is written.
DATA = "/data"


class Image:
    """The image, built in `folder`: its settings, and its files below `root`."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            missing("building an image without a daemon needs root")
        program("crun")
        if not BASE.exists():
            missing(f"{BASE} is not there (make image-test makes it on Debian as root)")
        self._folder = folder
        self._policy = folder / "policy.json"
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        base = self._buildah("from", "scratch")
        self._buildah("add", base, str(BASE), "/")
        self._buildah("commit", "--rm", base, "billing-base")
        pip = folder / "pip.conf"
        pip.write_text("[global]\ncert = /etc/pip-authorities.crt\n")
        self._buildah(
            *("build", "--format=docker", "--tag=billing"),
            "--build-arg=BASE=localhost/billing-base",
            f"--volume={pip}:/etc/pip.conf:ro",
            f"--volume={AUTHORITIES}:/etc/pip-authorities.crt:ro",
            str(ROOT),
        )
        image = json.loads(self._buildah("inspect", "--type=image", "billing"))
        self.config: dict[str, Any] = image["Docker"]["config"]
        self.root = Path(self._buildah("mount", self._buildah("from", "billing")))

    def _buildah(self, *arguments: str) -> str:
        """Run one command of buildah on a storage of our own; what it printed last."""
        command, *rest = arguments
        policy = command in ("from", "commit", "build")
        ended = subprocess.run(
            [
                *(program("buildah"), "--storage-driver=vfs"),
                *(f"--root={self._folder}/storage", f"--runroot={self._folder}/run", command),
                *([f"--signature-policy={self._policy}"] if policy else []),
                *rest,
            ],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        return ended.stdout.strip()

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(path.lstat().st_size for path in self.root.rglob("*") if not path.is_dir())

    def close(self) -> None:
        """Remove all that was built."""
        self._buildah("rm", "--all")
        self._buildah("rmi", "--all", "--force")


class Container:
    """A container of the image on a free port, from a read-only file system.

    `volumes` are folders of the machine by where they are mounted, all but /data read-only;
    `arguments` take the place of the image's own command.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        env: Mapping[str, str],
        volumes: Mapping[str, Path],
        *arguments: str,
    ) -> None:
        folder.mkdir()
        self.name, self.port = f"{folder.parent.name}-{folder.name}", free_port()
        self.url, self.log_path = f"http://127.0.0.1:{self.port}", folder / "log"
        self._folder, self._config = folder, image.config
        self._env = {"PORT": str(self.port), **env}
        command = [*image.config["Entrypoint"], *(arguments or image.config["Cmd"])]
        bundle = self._bundle(image.root, self._process(*command), volumes)
        (folder / "config.json").write_text(json.dumps(bundle))
        SERVER_LOGS.append(self.log_path)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._crun("run"), f"--bundle={folder}", self.name], stdout=log, stderr=log
            )

    def _crun(self, command: str) -> list[str]:
        state = f"--root={self._folder}/run"
        return [*_UNIFIED, program("crun"), "--cgroup-manager=disabled", state, command]

    def _process(self, *command: str) -> dict[str, Any]:
        """A process as Docker makes it of the image's settings."""
        user, _, group = self._config["User"].partition(":")
        return {
            "user": {"uid": int(user), "gid": int(group)},
            "args": command,
            "env": [*self._config["Env"], *(f"{name}={self._env[name]}" for name in self._env)],
            "cwd": self._config["WorkingDir"],
            "noNewPrivileges": True,
        }

    def _bundle(
        self, root: Path, process: Mapping[str, Any], volumes: Mapping[str, Path]
    ) -> dict[str, Any]:
        """What crun reads."""
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc"},
            {"destination": "/dev", "type": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "options": ["mode=1777"]},  # noqa: S108
        ]
        for destination, source in volumes.items():
            access = "rw" if destination == DATA else "ro"
            volume = {"destination": destination, "source": str(source)}
            mounts.append({**volume, "type": "bind", "options": ["bind", access]})
        namespaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
        return {
            "ociVersion": "1.0.0",
            "root": {"path": str(root), "readonly": True},
            "mounts": mounts,
            "process": process,
            "linux": {"namespaces": namespaces},
        }

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_until_healthy(self) -> None:
        """Wait for the first answer; an AssertionError with the log if it ends before."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log
            return ask(self.url, "/healthz").status == 200

        wait_for(answers, "the container")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What `docker exec` runs."""
        process = self._folder / "process.json"
        process.write_text(json.dumps(self._process(*command)))
        return subprocess.run(
            [*self._crun("exec"), f"--process={process}", self.name],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def is_healthy(self) -> bool:
        """What the image's HEALTHCHECK finds."""
        kind, *command = self._config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command).returncode == 0

    def signal(self, name: str) -> None:
        subprocess.run([*self._crun("kill"), self.name, name], check=True, capture_output=True)

    def stop(self) -> int:
        """As `docker stop` does; the status that it ended with."""
        self.signal(self._config["StopSignal"])
        return self.process.wait(40)

    def close(self) -> None:
        if self.process.poll() is None:
            subprocess.run([*self._crun("delete"), "--force", self.name], capture_output=True)
        self.process.wait(30)
