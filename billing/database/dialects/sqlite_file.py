"""The file of a SQLite database as the operating system shows it: its header, identity, locks.

SQLite cannot tell that its file was overwritten, nor that the `-wal` beside it is another file's;
and it makes `-wal` and `-shm` in any folder that lets it. Both are found out here, and nothing is
read through SQLite for it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

MAGIC = b"SQLite format 3\0"

#: What SQLite puts beside a file in WAL mode.
SIDE_FILES = ("-wal", "-shm")

#: Only the owner may read what holds everybody's figures.
PRIVATE_MODE = 0o600

_HEADER_BYTES = 100

#: Bytes of the header that tell the journal mode.
_JOURNAL_MODE = slice(18, 20)
_WAL_MODE, _ROLLBACK_MODE = b"\x02\x02", b"\x01\x01"

#: Bytes of the header that every transaction outside WAL mode changes.
_CHANGE_COUNTER = slice(24, 28)

#: The bytes that SQLite's readers lock, by its file format.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510

#: File systems count time in steps of some milliseconds: within so many seconds of a change the
#: file may be changed again at the same time.
CLOCK_STEP_SECONDS = 0.02

_LOCK_RETRY_SECONDS = 0.005


class FileState(NamedTuple):
    """What tells one content of a path from another."""

    device: int
    inode: int
    size: int
    changed_at: int
    #: Whoever sets the time of a change back changes this one.
    inode_changed_at: int

    def is_settled(self) -> bool:
        """Whether any later change will show."""
        return abs(time.time() - self.inode_changed_at / 1e9) > CLOCK_STEP_SECONDS


class SQLiteFile:
    """Safe under threads. No file is opened before `header` or `shared_lock` is called."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._wal_path = f"{path}-wal"
        self._mutex = threading.RLock()
        #: An open descriptor, and the device and inode that it leads to. It is kept: closing any
        #: descriptor of a file drops the locks of all connections that the process has to it.
        self._open: tuple[int, tuple[int, int]] | None = None

    def state(self) -> FileState | None:
        """None for a file that is not there, or cannot be seen."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return FileState(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def header(self) -> bytes:
        """The first bytes of the file that has the path now. Raises OSError."""
        with self._mutex:
            return os.pread(self._descriptor(), _HEADER_BYTES, 0)

    def create(self) -> None:
        """Make an empty file that only we may read, or keep others from one that is there."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
            return
        for path, mode in self.modes():
            # The group may be there on purpose. Who owns none of it cannot change it.
            if mode & 0o007:
                with suppress(PermissionError):
                    os.chmod(path, mode & 0o770)

    def modes(self) -> list[tuple[str, int]]:
        """The file and those beside it that are there, and their permissions."""
        found = []
        for suffix in ("", *SIDE_FILES):
            with suppress(FileNotFoundError):
                found.append((self.path + suffix, os.stat(self.path + suffix).st_mode & 0o777))
        return found

    def side_files(self) -> int:
        """How many of `-wal` and `-shm` are there."""
        return sum(os.path.lexists(self.path + suffix) for suffix in SIDE_FILES)

    def wal_size(self) -> int:
        try:
            return os.stat(self._wal_path).st_size
        except FileNotFoundError:
            return 0

    def remove_side_files(self) -> None:
        for suffix in SIDE_FILES:
            with suppress(FileNotFoundError):
                os.unlink(self.path + suffix)

    @contextmanager
    def shared_lock(self, seconds: float) -> Iterator[None]:
        """Hold the lock of a reader: no process can change the journal mode or remove the WAL.

        The lock is the descriptor's own, so that it meets none of SQLite's in this process. Raises
        OSError when it is not to be had within `seconds`.
        """
        with self._mutex, _shared_lock(self._descriptor(), seconds):
            yield

    def _descriptor(self) -> int:
        """An open descriptor of the file at the path; the caller holds the mutex."""
        stat = os.stat(self.path)
        if self._open is None or self._open[1] != (stat.st_dev, stat.st_ino):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            if self._open is not None:
                os.close(self._open[0])
            stat = os.fstat(descriptor)
            self._open = descriptor, (stat.st_dev, stat.st_ino)
        return self._open[0]


def is_wal(header: bytes) -> bool:
    """Whether a file says that it is in WAL mode."""
    return header.startswith(MAGIC) and header[_JOURNAL_MODE] == _WAL_MODE


def has_no_wal(header: bytes) -> bool:
    """Whether a file says that it is not in WAL mode, so that a `-wal` beside it is not its own."""
    return header.startswith(MAGIC) and header[_JOURNAL_MODE] == _ROLLBACK_MODE


def change_counter(header: bytes) -> bytes:
    """Compared by SQLite itself before it trusts its cache, outside WAL mode."""
    return header[_CHANGE_COUNTER]


@contextmanager
def _shared_lock(descriptor: int, seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while not _lock(descriptor, fcntl.F_RDLCK):
        if time.monotonic() > end:
            raise TimeoutError("database is locked")
        time.sleep(_LOCK_RETRY_SECONDS)
    try:
        yield
    finally:
        _lock(descriptor, fcntl.F_UNLCK)


def _lock(descriptor: int, kind: int) -> bool:
    """Lock or unlock what SQLite's readers lock; False when another holds it exclusively.

    Other systems than Linux have no such locks of one descriptor: there nothing is locked.
    """
    if sys.platform == "linux":
        flock = struct.pack("hhqqi0q", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, flock)
        except BlockingIOError:
            return False
    return True
