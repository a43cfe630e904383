"""What is remembered of a gateway's logs gives the sums that the logs themselves give."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.log_slices import oldest_row
from billing.core.usage_cache import RememberedUsage, UsageCache
from billing.database.connection import Database
from billing.database.usage_file import UsageFile
from billing.database.usage_rows import Spans
from billing.errors import DatabaseUnavailable, UsageIncomplete
from config import database_url
from tests.core.test_daily_costs import log as daily_costs_log
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

DAY, HOUR = 86400, 3600
#: 2026-03-28.
START = 1774656000
#: The clock of these tests, three hours after the last day began.
NOW = START + 9 * DAY + 3 * HOUR
ids = itertools.count(1)

one_of_each_server = pytest.mark.parametrize(
    "newapi", ["sqlite", "mariadb", "postgresql"], indirect=True
)
on_sqlite = pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)

Sums = dict[tuple[int, Any, str], tuple[int, ...]]


def log(gateway: Gateway, at: int, quota: int = 100, **values: object) -> int:
    """A use by the first user, made `at` seconds after START and written now; its id."""
    row = {"id": next(ids), "prompt_tokens": 7, "completion_tokens": 3, **values}
    daily_costs_log(gateway, at, quota, **row)
    return int(str(row["id"]))


class Cached:
    """Workers that share a cache file, and a clock of their own."""

    def __init__(
        self,
        gateway: Gateway,
        path: Path,
        width: int = 2,
        workers: int = 1,
        identity: str = "the gateway",
    ) -> None:
        self.gateway, self.path, self.now = gateway, path, float(NOW)
        self.databases, self.workers = [], []
        for _ in range(workers):
            database = Database(database_url(gateway.url), 5, "attached", tables=("logs",))
            file = UsageFile(path, identity)
            self.databases.append(database)
            self.workers.append(UsageCache(file, database, lambda: self.now, width))

    def read_once(
        self, first: int = 0, days: int = 10, worker: int = 0, timeout: float = 5
    ) -> RememberedUsage | None:
        """One question, which reads slices for a share of `timeout`."""
        cache = self.workers[worker]
        cache.database.timeout = 5
        cache.database.start_time_budget()
        cache.database.timeout = timeout
        begin = START + first * DAY
        end = begin + days * DAY
        return cache.read(1, Spans(begin, DAY, begin, end), oldest_row(cache.database))

    def read(self, first: int = 0, days: int = 10, worker: int = 0) -> RememberedUsage | None:
        """Ask again until there is an answer, as callers do."""
        for _ in range(200):
            try:
                return self.read_once(first, days, worker)
            except UsageIncomplete as error:
                self.now += float(error.headers["Retry-After"])
        raise AssertionError("no answer")

    def sums(self, first: int = 0, days: int = 10, worker: int = 0) -> Sums:
        found = self.read(first, days, worker)
        assert found is not None
        return added((cell[:3], cell[3:]) for cell in found.cells)

    def end_after_slices(self, period: tuple[int, int], worker: int, count: int) -> None:
        """What a worker does that is killed after so many slices: its claim is left."""
        cache = self.workers[worker]
        cache.database.start_time_budget()
        begin = START + period[0] * DAY
        whole = (begin, begin + period[1] * DAY)
        filling = cache.filling(1, whole, oldest_row(cache.database))
        cache.file.claim("killed", self.now, self.now + 6)
        for _ in range(count):
            if filling is not None and not filling.is_done():
                filling.step()

    def remove_file(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        for database, cache in zip(self.databases, self.workers, strict=True):
            database.close()
            cache.file.close()


def added(rows: Any) -> Sums:
    sums: dict[tuple[int, Any, str], tuple[int, ...]] = {}
    for key, values in rows:
        sums[key] = tuple(map(sum, zip(sums.get(key, (0,) * 5), values, strict=True)))
    return sums


def rows_of(gateway: Gateway, where: str = "") -> list[tuple[Any, ...]]:
    """The first user's uses and refunds that the logs hold."""
    return gateway.execute(
        "SELECT created_at, token_id, model_name, type, quota, prompt_tokens, completion_tokens"
        f" FROM logs WHERE user_id = 1 AND type IN (2, 6) {where}"
    )


def summed(rows: list[tuple[Any, ...]], first: int, days: int) -> Sums:
    return added(
        (
            (at // DAY * DAY, token, model),
            (quota, 0, prompt, completion, 1)
            if kind == 2
            else (-quota, quota, -prompt, -completion, 0),
        )
        for at, token, model, kind, quota, prompt, completion in rows
        if START + first * DAY <= at < START + (first + days) * DAY
    )


def scanned(gateway: Gateway, first: int = 0, days: int = 10) -> Sums:
    """What a plain scan of the logs gives."""
    return summed(rows_of(gateway), first, days)


@pytest.fixture
def cached(newapi: Gateway, tmp_path: Path) -> Any:
    cached = Cached(newapi, tmp_path / "usage.db")
    yield cached
    cached.close()


_AT = st.integers(-DAY, 10 * DAY)
_PERIOD = st.tuples(st.integers(0, 8), st.integers(1, 4))
_WORKER = st.integers(0, 1)
_STEPS = st.one_of(
    st.tuples(
        st.just("log"),
        _AT,
        st.integers(0, 1000),
        st.sampled_from([2, 2, 2, 6, 1, 5]),
        st.sampled_from([2, 3]),
        st.sampled_from(["gpt-4o", "GPT-4o", "o4-mini"]),
        st.sampled_from([1, 1, 1, 9]),
    ),
    st.tuples(st.just("read"), _PERIOD, _WORKER),
    st.tuples(st.just("killed"), _PERIOD, _WORKER, st.integers(0, 4)),
    st.tuples(st.just("deleted")),
    st.tuples(st.just("pruned"), st.integers(0, 9 * DAY)),
    st.tuples(st.just("later"), st.integers(1, 30 * HOUR)),
)


@one_of_each_server
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_STEPS, max_size=25), width=st.integers(1, 5))
def test_any_slices_and_late_rows_give_the_sums_of_a_plain_scan(
    newapi: Gateway, tmp_path: Path, steps: list[Any], width: int
) -> None:
    newapi.execute("DELETE FROM logs")
    cached = Cached(newapi, tmp_path / f"{next(ids)}.db", width, workers=2)
    # Rows that others wrote make the ids that the first user's have.
    for at in range(-DAY, 9 * DAY, 6 * HOUR):
        log(newapi, at, user_id=1 + at // HOUR % 2)
    deleted: list[tuple[Any, ...]] = []
    oldest = -DAY
    answers: list[tuple[Sums, Sums]] = []
    for what, *values in [*steps, ("read", (0, 10), 0)]:
        if what == "log":
            at, quota, kind, token, model, user = values
            more = {"type": kind, "token_id": token, "model_name": model, "user_id": user}
            log(newapi, max(at, oldest), quota, **more)
        elif what == "read":
            (first, days), worker = values
            found = cached.read(first, days, worker)
            if found is None:
                continue  # no use is old enough to be remembered: the logs are read
            assert found.known_since <= max(START + first * DAY, found.logs_since)
            # What is known is all that ever was.
            known = max(first, -(-(found.known_since - START) // DAY))
            cells = [cell for cell in found.cells if cell.time - START >= known * DAY]
            expected = summed([*deleted, *rows_of(newapi)], known, first + days - known)
            answers.append((added((cell[:3], cell[3:]) for cell in cells), expected))
        elif what == "killed":
            cached.end_after_slices(*values)
        elif what == "deleted":
            cached.remove_file()
        elif what == "pruned":
            # But rows that came late into days long remembered, and were deleted unread.
            fill = cached.workers[0].file.fill(1)
            unread = f"AND NOT (id > {fill.high} AND created_at < {fill.high_time})" if fill else ""
            deleted += rows_of(newapi, f"AND created_at < {START + values[0]} {unread}")
            newapi.execute("DELETE FROM logs WHERE created_at < ?", START + values[0])
            oldest = max(oldest, values[0])
        else:
            cached.now += values[0]
    cached.close()

    assert [found for found, _ in answers] == [expected for _, expected in answers]


@one_of_each_server
def test_a_row_that_comes_a_week_late_is_counted_at_once(newapi: Gateway, cached: Cached) -> None:
    for day in range(10):
        log(newapi, day * DAY)
    before = cached.sums()
    log(newapi, 2 * DAY, 1400)
    log(newapi, 2 * DAY, 400, type=6)

    late = cached.sums()
    cached.now += 4 * HOUR
    log(newapi, 9 * DAY + 4 * HOUR)
    folded = cached.sums()

    key = (START + 2 * DAY, 2, "gpt-4o")
    assert (before[key][0], late[key][0], folded[key][0]) == (100, 1100, 1100)


@on_sqlite
def test_a_long_history_is_read_over_several_questions(newapi: Gateway, cached: Cached) -> None:
    for at in range(0, 9 * DAY, HOUR):
        log(newapi, at)
    log(newapi, 9 * DAY + 2 * HOUR)
    progress: list[Any] = []
    found = None

    while found is None:
        try:
            found = cached.read_once(2, 8, timeout=0.004)
        except UsageIncomplete as error:
            progress.append(error.fields["progress"])

    assert len(progress) > 1
    assert progress == sorted(progress)
    assert all(0 <= share < 1 for share in progress)
    assert cached.sums(2, 8) == scanned(newapi, 2, 8)


@on_sqlite
def test_nobody_reads_slices_beside_another_worker(newapi: Gateway, cached: Cached) -> None:
    log(newapi, 0)
    log(newapi, 9 * DAY + 2 * HOUR)
    file = cached.workers[0].file
    file.mark()
    assert file.claim("another", cached.now, cached.now + 4)

    with pytest.raises(UsageIncomplete):
        cached.read_once()
    cached.now += 4

    assert cached.read_once() is not None


@on_sqlite
def test_a_late_row_of_a_day_that_was_empty_is_counted_for_later_askers(
    newapi: Gateway, cached: Cached
) -> None:
    log(newapi, 0)
    cached.sums(3, 6)
    log(newapi, 5 * DAY, 70, user_id=9)
    log(newapi, 9 * DAY + HOUR)
    cached.now += 4 * HOUR
    cache = cached.workers[0]
    spans = Spans(START + 4 * DAY, DAY, START + 4 * DAY, START + 8 * DAY)

    cache.database.start_time_budget()
    found = cache.read(9, spans, oldest_row(cache.database))

    assert found is not None
    assert [(cell.time, cell.quota) for cell in found.cells] == [(START + 5 * DAY, 70)]


@on_sqlite
def test_a_slice_that_two_workers_read_is_counted_once(newapi: Gateway, tmp_path: Path) -> None:
    for day in range(9):
        log(newapi, day * DAY)
    cached = Cached(newapi, tmp_path / "usage.db", width=100, workers=2)
    fillings = []
    for cache in cached.workers:
        cache.database.start_time_budget()
        oldest = oldest_row(cache.database)
        fillings.append(cache.filling(1, (START, START + 10 * DAY), oldest))

    for filling in fillings:
        # The claim of one ended while it was stopped, so that each reads the same slice.
        assert filling is not None
        filling.step()

    assert [filling.is_done() for filling in fillings if filling] == [True, True]
    assert cached.sums() == scanned(newapi)
    cached.close()


def fill_days(newapi: Gateway) -> None:
    """A use a day for ten days, and one that is not closed."""
    for day in range(10):
        log(newapi, day * DAY)
    log(newapi, 9 * DAY + 2 * HOUR)


@one_of_each_server
def test_pruned_days_stay_known(newapi: Gateway, cached: Cached) -> None:
    fill_days(newapi)
    before = cached.sums()
    newapi.execute("DELETE FROM logs WHERE created_at < ?", START + 5 * DAY)

    found = cached.read()

    assert found is not None
    assert added((cell[:3], cell[3:]) for cell in found.cells) == before
    assert found.known_since == START
    assert found.logs_since == START + 5 * DAY


@on_sqlite
def test_days_that_were_pruned_before_they_were_read_are_unknown(
    newapi: Gateway, cached: Cached
) -> None:
    fill_days(newapi)
    cached.sums(7, 3)
    newapi.execute("DELETE FROM logs WHERE created_at < ?", START + 5 * DAY)

    found = cached.read()

    assert found is not None
    assert found.known_since == START + 5 * DAY
    assert sorted({(cell.time - START) // DAY for cell in found.cells}) == [5, 6, 7, 8, 9]


@on_sqlite
def test_days_that_were_pruned_while_nobody_asked_are_a_gap(
    newapi: Gateway, cached: Cached
) -> None:
    fill_days(newapi)
    cached.sums()
    for day in range(10, 20):
        log(newapi, day * DAY)
    newapi.execute("DELETE FROM logs WHERE created_at < ?", START + 15 * DAY)
    cached.now += 15 * DAY

    found = cached.read(0, 20)

    assert found is not None
    assert found.known_since == START + 15 * DAY


@on_sqlite
def test_an_emptied_table_leaves_what_is_known_and_counts_new_rows(
    newapi: Gateway, cached: Cached
) -> None:
    fill_days(newapi)
    cached.sums()
    newapi.execute("DELETE FROM logs")
    log(newapi, 9 * DAY + 2 * HOUR, 5)

    found = cached.read()

    assert found is not None
    assert found.known_since == START + 9 * DAY + 2 * HOUR
    assert [cell.quota for cell in found.cells if cell.time == START + 9 * DAY] == [100, 5]


@one_of_each_server
def test_a_table_whose_ids_began_anew_is_read_again(newapi: Gateway, cached: Cached) -> None:
    first = next(ids)
    fill_days(newapi)
    cached.sums()
    newapi.execute("DELETE FROM logs")
    log(newapi, DAY, 5, id=first)

    with pytest.raises(DatabaseUnavailable):
        cached.read_once()

    assert cached.sums() == {(START + DAY, 2, "gpt-4o"): (5, 0, 7, 3, 1)}


@on_sqlite
def test_a_gateway_restored_from_a_backup_is_read_again(
    newapi: Gateway, cached: Cached, tmp_path: Path
) -> None:
    log(newapi, 8 * DAY)
    backup = tmp_path / "backup.db"
    shutil.copy(tmp_path / "one-api.db", backup)
    numbers = [log(newapi, 9 * DAY + 100, 77) for _ in range(3)]
    cached.sums()
    with sqlite3.connect(backup) as restored:
        restored.backup(newapi.connection)
    restored.close()
    for number in numbers:
        log(newapi, 9 * DAY + 200, 5, id=number)

    with pytest.raises(DatabaseUnavailable):
        cached.read_once()

    assert cached.sums() == scanned(newapi)


@on_sqlite
def test_a_file_of_another_gateway_is_made_anew(newapi: Gateway, tmp_path: Path) -> None:
    fill_days(newapi)
    first = Cached(newapi, tmp_path / "usage.db")
    first.sums()
    newapi.execute("UPDATE logs SET quota = 1")
    second = Cached(newapi, tmp_path / "usage.db", identity="another gateway")

    second.read()

    assert second.sums() == scanned(newapi)
    first.close()
    second.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    """All pages but the first are noise."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))


def other_tables(path: Path) -> None:
    """As a release with other tables left it."""
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x62696c6c")
        connection.execute("CREATE TABLE source (a)")
    connection.close()
    path.chmod(0o600)


@on_sqlite
@pytest.mark.parametrize("damage", [garbage, empty, torn, other_tables, Path.unlink])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_damaged_file_is_made_anew(
    newapi: Gateway, tmp_path: Path, damage: Any, is_open: bool
) -> None:
    fill_days(newapi)
    path = tmp_path / "usage.db"
    cached = Cached(newapi, path)
    cached.sums()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    if not is_open:
        cached.close()
    damage(path)

    answers = [cached.read() for _ in range(3)]
    kept = cached.sums()

    for found in answers:
        assert found is None or added((c[:3], c[3:]) for c in found.cells) == scanned(newapi)
    assert kept == scanned(newapi)
    assert path.stat().st_mode & 0o777 == 0o600
    cached.close()


@on_sqlite
@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_another_program_is_left_as_it_is(
    newapi: Gateway, tmp_path: Path, version: int
) -> None:
    fill_days(newapi)
    path = tmp_path / "another.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE source (identity)")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    cached = Cached(newapi, path)

    answers = [cached.read() for _ in range(2)]

    assert answers == [None, None]
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("another.db-wal"))
    cached.close()


@on_sqlite
def test_sums_that_the_file_cannot_hold_are_left_to_the_logs(
    newapi: Gateway, cached: Cached
) -> None:
    log(newapi, 0, 2**60)
    log(newapi, 9 * DAY + 2 * HOUR)

    assert cached.read() is None


@on_sqlite
def test_the_sums_of_days_are_kept_until_a_late_row_changes_them(
    newapi: Gateway, cached: Cached, tmp_path: Path
) -> None:
    fill_days(newapi)
    cached.sums()
    with sqlite3.connect(tmp_path / "usage.db") as connection:
        kept = connection.execute("SELECT COUNT(*) FROM sums").fetchone()[0]
    log(newapi, 3 * DAY, 7)
    cached.now += HOUR
    log(newapi, 9 * DAY + 3 * HOUR)
    late = cached.sums()
    connection.close()

    assert kept == 9
    assert Counter(late) == Counter(scanned(newapi))


@on_sqlite
def test_a_claim_ends_when_the_read_after_it_fails(
    newapi: Gateway, cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_days(newapi)
    file, claim = cached.workers[0].file, UsageFile.claim

    def fail_after(self: UsageFile, *arguments: Any) -> bool:
        claimed = claim(self, *arguments)
        monkeypatch.setattr(UsageFile, "fill", lambda *_: pytest.fail("away"))
        return claimed

    monkeypatch.setattr(UsageFile, "claim", fail_after)
    with pytest.raises(pytest.fail.Exception, match="away"):
        cached.read_once()
    monkeypatch.undo()

    assert file.claim("another", cached.now, cached.now + 4)


@on_sqlite
def test_a_claim_made_while_the_clock_was_ahead_keeps_nobody_out(cached: Cached) -> None:
    file = cached.workers[0].file
    assert file.claim("killed", cached.now + DAY, cached.now + DAY + 4)

    assert file.claim("another", cached.now, cached.now + 4)
    assert not file.claim("a third", cached.now, cached.now + 4)


@on_sqlite
def test_sums_are_kept_for_a_few_zones_alone(newapi: Gateway, cached: Cached) -> None:
    fill_days(newapi)
    cache = cached.workers[0]
    cached.sums()

    for offset in range(0, 24 * HOUR, HOUR):
        begin = START - offset
        cache.database.start_time_budget()
        cache.read(1, Spans(begin, DAY, begin, begin + 9 * DAY), oldest_row(cache.database))

    with contextlib.closing(sqlite3.connect(cached.path)) as connection:
        kept = connection.execute("SELECT DISTINCT start % 86400 FROM sums").fetchall()
    assert 1 <= len(kept) <= 4


@on_sqlite
def test_a_sum_beyond_64_bits_costs_nobody_the_file(newapi: Gateway, cached: Cached) -> None:
    for hour in range(4):
        log(newapi, hour * HOUR)
    log(newapi, 9 * DAY)
    assert cached.read() is not None
    inode = cached.path.stat().st_ino
    with contextlib.closing(sqlite3.connect(cached.path)) as connection:
        connection.execute("UPDATE cells SET quota = ?", (2**62,))
        connection.execute("DELETE FROM sums")
        connection.commit()

    assert cached.read() is None
    assert cached.path.stat().st_ino == inode


@on_sqlite
@pytest.mark.parametrize("kind", ["writable", "link"])
def test_a_file_that_others_can_reach_is_not_used(
    newapi: Gateway, tmp_path: Path, kind: str
) -> None:
    fill_days(newapi)
    path = tmp_path / "shared.db"
    if kind == "writable":
        path.touch()
        path.chmod(0o666)
    else:
        (tmp_path / "elsewhere.db").touch(0o600)
        path.symlink_to(tmp_path / "elsewhere.db")
    cached = Cached(newapi, path)

    assert cached.read() is None
    assert path.stat().st_size == 0
    cached.close()


@on_sqlite
def test_the_lock_of_a_stopped_process_is_not_waited_for_without_end(
    newapi: Gateway, tmp_path: Path
) -> None:
    fill_days(newapi)
    path = tmp_path / "usage.db"
    with (tmp_path / "usage.db-lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        cached = Cached(newapi, path)

        assert cached.read() is None
        cached.close()


@on_sqlite
def test_days_without_use_take_no_place_in_the_file(newapi: Gateway, cached: Cached) -> None:
    for day in (0, 3):
        log(newapi, day * DAY)
    log(newapi, 9 * DAY)

    assert len(cached.sums(-300, 310)) == 3

    with contextlib.closing(sqlite3.connect(cached.path)) as connection:
        kept = connection.execute("SELECT start FROM sums ORDER BY start").fetchall()
    assert kept == [(START,), (START + 3 * DAY,)]


@one_of_each_server
@pytest.mark.parametrize(
    ("zone", "first", "last", "midnight", "next_midnight"),
    [
        # 23 hours, from 23:00 to 22:00 UTC.
        ("Europe/Berlin", "2026-03-28", "2026-03-31", 1774738800, 1774821600),
        # 23 hours, from 05:00 to 04:00 UTC.
        ("America/New_York", "2026-03-07", "2026-03-10", 1772946000, 1773028800),
        # 24 hours from 18:30 UTC.
        ("Asia/Kolkata", "2026-03-27", "2026-03-30", 1774636200, 1774722600),
        # 24 hours from 18:15 UTC.
        ("Asia/Kathmandu", "2026-03-27", "2026-03-30", 1774635300, 1774721700),
    ],
)
def test_days_of_zones_are_remembered_to_the_second(
    newapi: Gateway,
    tmp_path: Path,
    zone: str,
    first: str,
    last: str,
    midnight: int,
    next_midnight: int,
) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    for second, quota in [
        (midnight - 1, 1),
        (midnight, 20),
        (next_midnight - 1, 300),
        (next_midnight, 4000),
    ]:
        log(newapi, second - START, quota)
    client = newapi.client(DISPLAY_UNIT="TOKENS", USAGE_CACHE=str(tmp_path / "usage.db"))
    path = (
        "/v1/dashboard/billing/usage?include=daily_costs"
        f"&start_date={first}&end_date={last}&timezone={zone}"
    )

    answers = [client.get(path, headers=bearer(KEY)).get_json() for _ in range(2)]

    days = {day["timestamp"]: day["line_items"] for day in answers[0]["daily_costs"]}
    costs = [sum(item["cost"] for item in items) for items in days.values()]
    assert costs == [100, 32000, 400000]
    assert list(days)[1:] == [midnight, next_midnight]
    assert answers[1] == answers[0]
