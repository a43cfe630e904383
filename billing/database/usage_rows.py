"""What a usage cache holds, as rows: sums of a user's logs, and how much of them is known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

#: A day is not shorter, whatever its zone's clocks do.
_SHORTEST_DAY = 20 * 3600


class Cell(NamedTuple):
    """What a token used of a model from the unix second `time` on; quota is net of refunds.

    The token is None in sums over all tokens.
    """

    time: int
    token: int | str | None
    model: str
    quota: int
    refunded: int
    prompt_tokens: int
    completion_tokens: int
    requests: int

    def as_refund(self) -> Cell:
        """What giving back this use adds to sums; a refund does not unmake its request."""
        quota, _, prompt, completion, _ = self[3:]
        return Cell(*self[:3], -quota, quota, -prompt, -completion, 0)


def of_token(cells: Iterable[Cell], token: int | str | None, by_token: bool) -> list[Cell]:
    """The cells of a token, or of all; without the token unless `by_token`."""
    wanted = (cell for cell in cells if token is None or cell.token == token)
    return [cell if by_token else cell._replace(token=None) for cell in wanted]


class Spans(NamedTuple):
    """From `start` to before `end`, in spans of `length` seconds that are counted from `origin`.

    Or in days, which begin at `bounds`, the last of which is where the last day ends.
    """

    origin: int
    length: int
    start: int
    end: int
    bounds: tuple[int, ...] = ()

    def begin_of(self, time: int) -> int:
        """Where the span begins that a time is in."""
        if self.bounds:
            return self.bounds[bisect_right(self.bounds, time) - 1]
        return time - (time - self.origin) % self.length

    def are_days(self) -> bool:
        """Whether sums of each are worth keeping: those of short spans have few cells."""
        shortest = min((end - start for start, end in pairwise(self.bounds)), default=self.length)
        return shortest >= _SHORTEST_DAY

    def periods(self) -> list[tuple[int, int]]:
        """Each span's part of the whole."""
        begins = range(self.begin_of(self.start), self.end + self.length, self.length)
        parts = pairwise(self.bounds or begins)
        clipped = ((max(begin, self.start), min(end, self.end)) for begin, end in parts)
        return [(begin, end) for begin, end in clipped if begin < end]


class Mark(NamedTuple):
    """All rows of the logs up to `id` are there, since younger ones were made after `time`.

    `row`, whose id is `row_id`, tells another table.
    """

    id: int
    time: int
    row_id: int
    row: str


class Fill(NamedTuple):
    """What is remembered of a user: all its rows with ids above `low` up to `high`.

    `high` was the mark's id at `high_time`. All rows since `known_since` are among them, or have
    ids above `high`; older ones were not read or had been deleted. `width` is how many ids the
    next slice spans; nothing is to be read before `paid_until` (unix seconds, as all times).
    """

    id: int
    low: int
    high: int
    high_time: int
    known_since: int
    width: int
    paid_until: float
