"""Three MariaDB nodes on loopback that replicate to each other (Galera)."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pymysql

from tests.support.mariadb import MariaDB
from tests.support.processes import free_port, missing, wait_for

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")


def free_port_pair() -> int:
    """A free port whose next one is free as well."""
    while True:
        port = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port


def several(name: str, *servers: MariaDB) -> str:
    """One address of several servers, the first preferred."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return servers[0].url(name).replace(f"127.0.0.1:{servers[0].port}", hosts)


class Galera:
    """Three MariaDB nodes that certify each other's writes."""

    def __init__(self) -> None:
        if not PROVIDER.exists():
            missing("galera-4 is not installed (make test installs it on Debian as root)")
        ports = [free_port_pair() for _ in range(3)]
        members = ",".join(f"127.0.0.1:{port}" for port in ports)
        first = MariaDB()
        first.stop()
        self.nodes = [
            MariaDB(*self._options(members, port), data=first.folder / "data") for port in ports
        ]
        first.close()
        self.nodes[0].start("--wsrep-new-cluster")
        for node in self.nodes[1:]:
            node.start()
        self.wait_until_whole()

    @staticmethod
    def _options(members: str, port: int) -> list[str]:
        return [
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-cluster-address=gcomm://{members}",
            f"--wsrep-node-address=127.0.0.1:{port}",
            f"--wsrep-provider-options=base_host=127.0.0.1;base_port={port};"
            f"gmcast.listen_addr=tcp://127.0.0.1:{port};"
            f"ist.recv_addr=127.0.0.1:{port + 1};"
            "evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.keepalive_period=PT0.5S;"
            "evs.inactive_check_period=PT0.5S",
            f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
            "--wsrep-sst-method=rsync",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        ]

    def wait_until_whole(self) -> None:
        """Wait until every node says that all are there: one just woken knows no better."""

        def whole() -> bool:
            told = [dict(node.execute("SHOW STATUS LIKE 'wsrep%%'")) for node in self.nodes]
            return all(
                (one["wsrep_ready"], one["wsrep_cluster_size"]) == ("ON", "3") for one in told
            )

        wait_for(whole, "the whole cluster", 60)

    def isolate(self, node: MariaDB) -> None:
        """Cut a node off, and wait until it has left the primary component."""
        node.execute("SET GLOBAL wsrep_provider_options='gmcast.isolate=1'")
        wait_for(lambda: not self.ready(node), "the end of a node's part")

    def rejoin(self, node: MariaDB) -> None:
        """End the isolation of a node."""
        node.execute("SET GLOBAL wsrep_provider_options='gmcast.isolate=0'")
        self.wait_until_whole()

    @staticmethod
    def ready(node: MariaDB) -> bool:
        """Whether a node takes itself for a part of the cluster."""
        return node.execute("SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database on all nodes; yields its name."""
        name = f"billing_{random.randrange(10**12)}"
        self.nodes[0].execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.nodes[0].execute(f"DROP DATABASE {name}")

    def url(self, name: str, *nodes: MariaDB) -> str:
        """One address with `nodes`, or all, the first preferred."""
        return several(name, *(nodes or self.nodes))

    def close(self) -> None:
        for node in reversed(self.nodes):
            if node.process is not None:
                node.process.send_signal(signal.SIGKILL)
            with contextlib.suppress(pymysql.MySQLError):
                node.close()
            shutil.rmtree(node.folder, ignore_errors=True)
