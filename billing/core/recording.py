"""Records what was used: token, user, log row and hour, in one transaction."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import peewee

from billing.database.columns import PLACEHOLDER
from billing.database.dialects.base import Dialect
from billing.database.models import HOUR_SUMS, LOG_CONSUME, LOG_REFUND, Log, QuotaData, Token, User
from billing.database.transactions import execute_many, new_request_id, run_in_transaction
from billing.quota import MAX_STORED

_HOUR = 3600

#: Rows of one INSERT: SQLite takes 32766 parameters.
_INSERT_ROWS = 500


class Usage(NamedTuple):
    """One use of a token, or its refund, in quota units.

    `at=None`: now; else unix seconds. `request_id=None`: not deduplicated.
    """

    token_id: int
    model: str
    quota: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    at: int | None = None
    request_id: str | None = None
    refund: bool = False

    @property
    def type(self) -> int:
        return LOG_REFUND if self.refund else LOG_CONSUME

    @property
    def sign(self) -> int:
        return -1 if self.refund else 1

    def has_content_of(self, other: Usage) -> bool:
        """Whether both record the same use; a time that was not given equals any."""
        times = None in (self.at, other.at) or self.at == other.at
        return times and self._replace(at=None) == other._replace(at=None)


@dataclass
class RecordResult:
    """`bad` holds the position and reason of each usage that could not be recorded."""

    recorded: int = 0
    skipped: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)


def record(database: Dialect, usages: Sequence[Usage]) -> RecordResult:
    """Record a batch in one transaction; bad usages are left out and reported.

    A usage whose (type, request_id) is recorded already with the same content is skipped. Spending
    past the remaining quota is recorded: it has happened. Raises the driver's errors, with nothing
    recorded.
    """
    if database.COMMIT_CAN_BE_UNKNOWN:
        # By its id a usage is found again when the connection was lost around its COMMIT.
        usages = [
            usage._replace(request_id=usage.request_id or new_request_id()) for usage in usages
        ]
    attempts = _Attempts()

    def work() -> RecordResult:
        return attempts.add(_record(database, usages))

    return run_in_transaction(database, work, attempts.connection_lost)


class _Attempts:
    """The results of one batch's attempts: tells whether an earlier COMMIT happened after all."""

    def __init__(self) -> None:
        self._latest: RecordResult | None = None
        #: Of the attempt whose connection was lost: its COMMIT may have happened.
        self._maybe_committed: RecordResult | None = None

    def connection_lost(self) -> None:
        self._maybe_committed = self._latest

    def add(self, result: RecordResult) -> RecordResult:
        """The result to report: the earlier one when all that it recorded is there already."""
        earlier = self._maybe_committed
        if earlier and result.skipped == earlier.skipped + earlier.recorded:
            return earlier
        self._latest = result
        return result


def _record(database: Dialect, usages: Sequence[Usage]) -> RecordResult:
    result, good, now = RecordResult(), [], int(time.time())
    # Locking the tokens first keeps two writers of one token apart: the second looks into the
    # logs only when the first has written them.
    tokens = _lock_tokens(database, usages)
    known = _recorded_already(usages)
    for position, usage in enumerate(usages):
        token = tokens.get(usage.token_id)
        if token is None:
            result.bad.append((position, f"no token {usage.token_id}"))
            continue
        if earlier := known.get((usage.type, usage.request_id)):
            if usage.has_content_of(earlier):
                result.skipped += 1
            else:
                result.bad.append((position, "its request_id has other content already"))
            continue
        if not token.spend(usage.sign * usage.quota):
            result.bad.append((position, "the balance cannot hold that amount"))
            continue
        if usage.request_id is not None:
            known[usage.type, usage.request_id] = usage
        good.append(usage._replace(at=now if usage.at is None else usage.at))
    if good:
        _write(database, good, tokens)
    result.recorded = len(good)
    return result


@dataclass
class _LockedToken:
    """A token and its owner as they were when locked, and what the batch spends."""

    id: int
    name: str
    user_id: int
    remain_quota: int
    used_quota: int
    username: str | None
    user_quota: int | None
    user_used_quota: int | None
    spent: int = 0

    def spend(self, quota: int) -> bool:
        """Whether the stored sums stay within 64 bits."""
        spent = self.spent + quota
        sums = (
            self.remain_quota - spent,
            self.used_quota + spent,
            (self.user_quota or 0) - spent,
            (self.user_used_quota or 0) + spent,
        )
        fits = all(abs(value) <= MAX_STORED for value in sums)
        self.spent = spent if fits else self.spent
        return fits


def _lock_tokens(database: Dialect, usages: Sequence[Usage]) -> dict[int, _LockedToken]:
    rows = (
        Token.select(
            Token.id,
            Token.name,
            Token.user_id,
            Token.remain_quota,
            Token.used_quota,
            User.username,
            User.quota,
            User.used_quota,
        )
        .join(User, peewee.JOIN.LEFT_OUTER, on=(User.id == Token.user_id))
        .where(Token.id.in_({usage.token_id for usage in usages}))
        .order_by(Token.id)
    )
    return {row[0]: _LockedToken(*row) for row in database.lock_rows(rows).tuples()}


def _recorded_already(usages: Sequence[Usage]) -> dict[tuple[int, str | None], Usage]:
    """What the logs hold of the batch's request ids."""
    ids = {usage.request_id for usage in usages} - {None}
    if not ids:
        return {}
    rows = Log.select(
        Log.token_id,
        Log.model_name,
        Log.quota,
        Log.prompt_tokens,
        Log.completion_tokens,
        Log.created_at,
        Log.request_id,
        Log.type,
    ).where(Log.type.in_((LOG_CONSUME, LOG_REFUND)), Log.request_id.in_(ids))
    found: Any = rows.tuples()
    known = (Usage._make((*row, type == LOG_REFUND)) for *row, type in found)
    return {(usage.type, usage.request_id): usage for usage in known}


def _write(database: Dialect, usages: Sequence[Usage], tokens: Mapping[int, _LockedToken]) -> None:
    by_token: Counter[int] = Counter()
    by_user: Counter[int] = Counter()
    uses: Counter[int] = Counter()
    hours: dict[tuple[int, int, int, str], Counter[str]] = defaultdict(Counter)
    for usage in usages:
        user_id, spent = tokens[usage.token_id].user_id, usage.sign * usage.quota
        by_token[usage.token_id] += spent
        by_user[user_id] += spent
        # A refund does not unmake the request.
        uses[user_id] += not usage.refund
        at = usage.at or 0
        hour = hours[user_id, at - at % _HOUR, usage.token_id, usage.model]
        hour["quota"] += spent
        hour["refunded"] += usage.quota * usage.refund
        hour["prompt_tokens"] += usage.sign * usage.prompt_tokens
        hour["completion_tokens"] += usage.sign * usage.completion_tokens
        hour["token_used"] += usage.sign * (usage.prompt_tokens + usage.completion_tokens)
        hour["count"] += not usage.refund
    token_update = Token.update(
        {
            Token.remain_quota: Token.remain_quota - PLACEHOLDER,
            Token.used_quota: Token.used_quota + PLACEHOLDER,
        }
    ).where(Token.id == PLACEHOLDER)
    execute_many(
        database, token_update, ((spent, spent, id) for id, spent in sorted(by_token.items()))
    )
    user_update = User.update(
        {
            User.quota: User.quota - PLACEHOLDER,
            User.used_quota: User.used_quota + PLACEHOLDER,
            User.request_count: User.request_count + PLACEHOLDER,
        }
    ).where(User.id == PLACEHOLDER)
    execute_many(
        database,
        user_update,
        ((spent, spent, uses[id], id) for id, spent in sorted(by_user.items())),
    )
    rows = [_log_row(usage, tokens[usage.token_id]) for usage in usages]
    for chunk in peewee.chunked(rows, _INSERT_ROWS):
        Log.insert_many(chunk).execute()
    sums = [
        {
            "user_id": user_id,
            "created_at": created_at,
            "token_id": token_id,
            "model_name": model,
            "username": tokens[token_id].username or "",
            **hour,
        }
        for (user_id, created_at, token_id, model), hour in sorted(hours.items())
    ]
    for chunk in peewee.chunked(sums, _INSERT_ROWS):
        database.upsert_adding(
            QuotaData,
            chunk,
            [QuotaData.user_id, QuotaData.created_at, QuotaData.token_id, QuotaData.model_name],
            [getattr(QuotaData, name) for name in (*HOUR_SUMS, "token_used")],
        )


def _log_row(usage: Usage, token: _LockedToken) -> dict[str, object]:
    return {
        "user_id": token.user_id,
        "username": token.username or "",
        "token_id": token.id,
        "token_name": token.name,
        "created_at": usage.at,
        "type": usage.type,
        "model_name": usage.model,
        "quota": usage.quota,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "request_id": usage.request_id,
    }
