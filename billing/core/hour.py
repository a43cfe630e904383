"""Rows of hourly usage: token, model, quota, tokens and requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from billing.core.days import HOUR


class Hour(NamedTuple):
    """What one token used of one model in the UTC hour that begins at `start` (unix seconds).

    `token` is its id, its name where the logs have only that, or None in sums over all tokens.
    `quota` is net of `refunded`, and tokens are net too; a refund does not unmake its
    request. Prompt and completion tokens are None where they are not known.
    """

    start: int
    token: int | str | None
    model: str
    quota: int
    refunded: int
    prompt_tokens: int | None
    completion_tokens: int | None
    requests: int

    def as_refund(self) -> Hour:
        """What giving back this use adds to sums."""
        return self._replace(
            quota=-self.quota,
            refunded=self.quota,
            prompt_tokens=None if self.prompt_tokens is None else -self.prompt_tokens,
            completion_tokens=None if self.completion_tokens is None else -self.completion_tokens,
            requests=0,
        )

    def add(self, other: Hour) -> Hour:
        """The sum of two rows of one span, token and model."""
        return self._replace(
            quota=self.quota + other.quota,
            refunded=self.refunded + other.refunded,
            prompt_tokens=_sum(self.prompt_tokens, other.prompt_tokens),
            completion_tokens=_sum(self.completion_tokens, other.completion_tokens),
            requests=self.requests + other.requests,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def merge(rows: Iterable[Hour]) -> list[Hour]:
    """The rows with those of one span, token and model added up."""
    found: dict[Any, Hour] = {}
    for row in rows:
        # Its span, token and model.
        known = found.get(key := row[:3])
        found[key] = row if known is None else known.add(row)
    return list(found.values())


class Hours(NamedTuple):
    """The hours of a period in no order, some in parts.

    What was before `known_since` (unix seconds) is unknown; 0 when all is known. What is known of
    before `pruned_before` is no longer in the logs, but in the usage cache alone; 0 for nothing.
    """

    rows: list[Hour]
    known_since: int
    pruned_before: int = 0


class HourPeriod(NamedTuple):
    """From `start` to before `end`, in spans counted from `origin`, with or without tokens."""

    origin: int
    start: int
    end: int
    span: int
    by_token: bool
    bounds: tuple[int, ...] = ()

    def has_whole_hours(self) -> bool:
        return all(second % HOUR == 0 for second in (self.origin, self.end, self.span))

    def row(
        self,
        number: Any,
        token: Any,
        model: str | None,
        quota: Any,
        refunded: Any,
        prompt: Any,
        completion: Any,
        requests: Any,
    ) -> Hour:
        """A row as the database gives it, with the number of the span; MySQL sums to Decimals."""
        return Hour(
            self.origin + int(number) * self.span,
            token.decode(errors="replace") if isinstance(token, bytes) else token,
            model or "",
            int(quota),
            int(refunded),
            None if prompt is None else int(prompt),
            None if completion is None else int(completion),
            int(requests),
        )
