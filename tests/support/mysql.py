"""Starts MySQL servers, from the folder that tests/install-servers makes, beside MariaDB."""

from __future__ import annotations

import subprocess

from tests.support.mariadb import MariaDB
from tests.support.processes import CACHE, missing

#: mysqld with the libraries and the loader of the release that it was built for.
INSTALLED = CACHE / "mysql"


class MySQL(MariaDB):
    """A MySQL server, like a MariaDB server: its accounts use caching_sha2_password."""

    def _program(self) -> list[str]:
        if not INSTALLED.exists():
            missing("MySQL is not installed (make test installs it on Debian as root)")
        (loader,) = INSTALLED.glob("lib/ld-linux*")
        return [
            *(str(loader), "--library-path", f"{INSTALLED}/lib", f"{INSTALLED}/bin/mysqld"),
            "--no-defaults",
            f"--basedir={INSTALLED}",
            f"--lc-messages-dir={INSTALLED}/share",
            f"--character-sets-dir={INSTALLED}/share/charsets",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            # Written for a replica alone.
            "--skip-log-bin",
            # Making the data folder takes three times as long when each write reaches the disk.
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=OFF",
            "--innodb-redo-log-capacity=32M",
        ]

    def _make_data(self) -> None:
        command = [*self._command, "--initialize-insecure"]
        subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        # An orderly end takes seconds, and the data goes anyway.
        self.kill()
        super().close()
