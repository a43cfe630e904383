"""Where SQLite, MySQL and PostgreSQL differ: every seam declared once, with harmless defaults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import peewee

from billing.database.columns import PLACEHOLDER
from billing.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from billing.database.dialects.sqlite_file import FileState
    from config import DatabaseURL

#: "attached" reads another program's database and "read" our own; "write" is for commands,
#: "create" for those that may make a SQLite file.
Access = Literal["attached", "read", "write", "create"]

READ_ONLY: frozenset[Access] = frozenset({"attached", "read"})


#: What is left of a budget counts as this many seconds at least.
SHORTEST_TIMEOUT = 0.05


class ThreadState(threading.local):
    """What one thread knows of its connection; moments are `time.monotonic` seconds.

    `answer_timeout` is how long, in seconds, a connection waits for an answer unless its request
    has less left.
    """

    def __init__(self, answer_timeout: float) -> None:
        self.connect_timeout = self.answer_timeout = answer_timeout
        #: When the request must have its answer; readers alone have one.
        self.deadline = 0.0
        #: What connecting took this request, in seconds; 0 when it found a connection.
        self.connect_seconds = 0.0
        #: The time limit, in seconds, that the server or driver has for the next statement.
        self.statement_limit = answer_timeout
        self.statement_started_at = 0.0
        #: The MySQL host that the thread is connected to, and which of the two servers it is.
        self.host = ("", 0)
        self.is_mariadb = False
        #: Whether that server can make a row one JSON array.
        self.has_json_array = False
        #: What the open SQLite file was like when it was opened, and its change counter.
        self.file: FileState | None = None
        self.change_counter = b""
        #: When no change that hides behind the file's time can follow; 0 once that is over.
        self.file_settles_at = 0.0
        #: Whether the thread had a connection before.
        self.has_connected = False
        #: Dropped with the connection, or by the thread's end; `count_close` is called then, once.
        self.open_connection: object = None
        self.count_close: Any = lambda: None

    def seconds_left(self) -> float:
        """What is left of the request's time budget."""
        return max(self.deadline - time.monotonic(), SHORTEST_TIMEOUT)

    def require_time_for_answer(self) -> None:
        """Raise DatabaseUnavailable when connecting has left too little time for one more answer.

        The connection then serves the next request. A statement that ran out of time would cost
        it, and over a slow link every request would connect anew and none be answered.
        """
        # Connecting takes two round trips at least, so half of it is one or more.
        if max(self.deadline - time.monotonic(), 0) < self.connect_seconds / 2:
            raise DatabaseUnavailable(
                f"connecting took {self.connect_seconds:.2f} s: no time is left to read"
            )


class ReplicaStatus(NamedTuple):
    """How a replica follows its primary.

    `lag_seconds` and `running` (whether it follows) are None when they are not known. `problem`,
    for the operator, is why the replica does not follow, or why its lag is not known.
    """

    lag_seconds: float | None
    running: bool | None = True
    problem: str = ""


class Dialect(peewee.Database):
    """A Peewee database with what differs between servers and drivers.

    Subclasses name this class first and Peewee's second: `class MySQL(Dialect,
    peewee.MySQLDatabase)`. Building one connects to nothing.
    """

    #: The package that speaks to the server, by its name and its version.
    DRIVER: ClassVar[tuple[str, str]]
    #: What the driver raises, besides Peewee's errors.
    ERRORS: ClassVar[tuple[type[Exception], ...]] = ()
    #: One text: which server answers.
    VERSION_SQL: ClassVar[str]
    #: One number: unix seconds by the server's clock.
    CLOCK_SQL: ClassVar[str]
    #: Whether `char` columns come back padded with blanks.
    PADS_CHAR_COLUMNS: ClassVar[bool] = False
    #: What Peewee writes behind the columns of a CREATE TABLE.
    TABLE_SETTINGS: ClassVar[Sequence[str]] = ()
    #: How `atomic` begins a transaction that writes.
    BEGIN_MODE: ClassVar[Sequence[str]] = ()
    #: Whether a lost connection leaves open if its COMMIT happened.
    COMMIT_CAN_BE_UNKNOWN: ClassVar[bool] = False
    #: The tool that copies such a database; "" where `backup_to` does.
    BACKUP_TOOL: ClassVar[str] = ""

    if TYPE_CHECKING:  # Peewee's own have no types.

        def connection(self) -> Any: ...
        def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any: ...
        def execute(self, query: Any, **context_options: Any) -> Any: ...

    def __init__(
        self, url: DatabaseURL, access: Access, state: ThreadState, *peewee_args: Any, **more: Any
    ) -> None:
        self.url, self._access, self._thread = url, access, state
        self._is_reader = access in READ_ONLY
        super().__init__(*peewee_args, **more)
        # Peewee connects under a lock of all threads, which would wait for each other's slow
        # connections; what it guards is each thread's own.
        self._lock = nullcontext()

    @property
    def driver(self) -> str:
        """The package that speaks to the server and its version, as `flask check` prints it."""
        return " ".join(self.DRIVER)

    # Judging errors. Each gets the driver's own error, never Peewee's wrapper.

    @classmethod
    def is_permanent(cls, error: Exception) -> bool:
        """Whether only an operator can remove the cause, so that no retry helps."""
        return True

    @classmethod
    def is_connection_lost(cls, error: Exception) -> bool:
        """Whether the connection is gone, so that a COMMIT may or may not have happened."""
        return False

    @classmethod
    def is_lost_race(cls, error: Exception) -> bool:
        """Whether a transaction lost against another writer's and is worth repeating."""
        return False

    @classmethod
    def is_duplicate(cls, error: Exception) -> bool:
        """Whether a unique key holds that row already: another writer's, or one to stay."""
        return False

    @classmethod
    def is_statement_timeout(cls, error: Exception) -> bool:
        """Whether the statement was ended by its own time limit."""
        return False

    @classmethod
    def is_missing_table(cls, error: Exception) -> bool:
        """Whether the statement named a table that is not there."""
        return False

    @classmethod
    def error_text(cls, error: Exception) -> str:
        """What the driver says, in one line, without anything that rows or parameters hold."""
        return " ".join(str(error).split())

    # Several hosts in one address.

    def mark_host_failed(self, error: Exception) -> None:
        """Skip this thread's host for a while, if there is another and `error` is the host's."""

    def should_fail_back(self) -> bool:
        """Whether a host that comes before this thread's may be usable again."""
        return False

    def is_replaced(self) -> bool:
        """Whether the address leads to another file than the one that this thread has open."""
        return False

    # Reading within a time budget.

    def begin_statement(self, sql: str) -> str:
        """Bound the next statement of a reader by what its request has left; the SQL to run."""
        return sql

    def fetch_all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement, all of them, so that no cursor stays open."""
        if self._is_reader:
            self._thread.require_time_for_answer()
            sql = self.begin_statement(sql)
        return self._fetch_rows(sql, parameters)

    def fetch_prepared(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """As `fetch_all`, of a statement whose plan is the same for all parameters.

        The server may keep the plan.
        """
        return self.fetch_all(sql, *parameters)

    def _fetch_rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return list(self.execute_sql(sql, parameters).fetchall())

    def columns_of(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of a table and a column, for those of `tables` that exist; one statement."""
        raise NotImplementedError

    def blocks_writers(self) -> bool:
        """Whether a read keeps other programs from committing."""
        return False

    # SQL.

    def packs_rows(self) -> bool:
        """Whether rows of many columns cost less as one JSON array: see `pack`."""
        return False

    @staticmethod
    def pack(columns: Sequence[peewee.Node]) -> peewee.Node:
        """The columns as one JSON array, where `packs_rows`; JSON in them is its text there too."""
        raise NotImplementedError

    @staticmethod
    def span_of(time: peewee.Field[Any]) -> peewee.Node:
        """The number of the span that unix seconds fall in.

        Its two placeholders are where the first span begins, and how many seconds a span has.
        """
        return peewee.Expression(time - PLACEHOLDER, "/", PLACEHOLDER)

    @staticmethod
    def case_sensitive(text: peewee.Node) -> peewee.Node:
        """`text` to GROUP BY, where the column's collation may take gpt-4o for GPT-4o."""
        return text

    @staticmethod
    def space_sensitive(text: peewee.Node) -> peewee.Node:
        """`text` to compare, where the collation may ignore trailing blanks.

        Slower than `case_sensitive` in a GROUP BY.
        """
        return text

    def lock_rows(self, query: peewee.Select) -> peewee.Select:
        """`query`, its rows kept from other writers until the transaction ends."""
        return query.for_update() if self.for_update else query

    def upsert_adding(
        self,
        model: type[peewee.Model],
        rows: list[dict[str, Any]],
        key: Sequence[peewee.Field[Any]],
        sums: Sequence[peewee.Field[Any]],
    ) -> None:
        """Insert `rows`; where a row of that unique `key` exists, add the `sums` to it instead."""
        added = {field: field + peewee.EXCLUDED[field.column_name] for field in sums}
        insert = model.insert_many(rows).on_conflict(conflict_target=key, update=added)
        insert.execute(self)

    # Tables and files.

    @staticmethod
    def drop_index_sql(table: str, name: str) -> str:
        """The statement that drops an index; both names are ours."""
        return f"DROP INDEX {name}"

    def write_transaction(self) -> AbstractContextManager[Any]:
        """A transaction that may read first and write later without losing its turn."""
        return self.atomic(*self.BEGIN_MODE)

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Keep every other command from changing the tables meanwhile."""
        with self.write_transaction():
            yield

    def enable_wal(self) -> None:
        """Let readers go on beside a writer, where that is a setting of the database."""

    def is_wal_missing(self) -> bool:
        """Whether readers wait for a writer because WAL mode is not set."""
        return False

    def empty_wal(self) -> None:
        """After a command has written: leave nothing outside the database's main file."""

    def readable_by_others(self) -> list[str]:
        """The database's files that more people may read than their owner."""
        return []

    def backup_to(self, path: Path) -> None:
        """Write a consistent copy to `path`, an empty file of ours; only without a BACKUP_TOOL.

        Raises driver errors, the file then removed.
        """
        raise NotImplementedError

    # What `flask check` and the metrics ask.

    def account_can_write(self) -> bool:
        """Whether the account may change another program's tables."""
        return False

    def replica_status(self) -> ReplicaStatus | None:
        """How the database follows its primary; None when it is no replica."""
        return None
