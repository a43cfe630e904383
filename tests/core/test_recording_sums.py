"""Whatever is recorded, the sums in tokens, users, logs and hours agree to the unit."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.recording import Usage
from tests.core.test_recording import HOUR, recorded
from tests.support.application import Billing
from tests.support.mariadb import MariaDB

usages = st.builds(
    Usage,
    token_id=st.integers(1, 4),
    model=st.sampled_from(["m", "M", "模型"]),
    quota=st.integers(0, 2**53),
    prompt_tokens=st.integers(0, 100),
    completion_tokens=st.integers(0, 100),
    at=st.integers(HOUR - 7200, HOUR + 7200),
    request_id=st.none() | st.sampled_from(["r", "R", "s"]),
    refund=st.booleans(),
)


def modelled(batches: list[list[Usage]]) -> tuple[list[Usage], dict[str, Counter[Any]]]:
    """What should stand in the logs, and the sums that should follow from it. Token 4 is none."""
    kept: list[Usage] = []
    for usage in (usage for batch in batches for usage in batch):
        seen = (usage.request_id, usage.refund) in [(k.request_id, k.refund) for k in kept]
        if usage.token_id != 4 and (usage.request_id is None or not seen):
            kept.append(usage)
    sums: dict[str, Counter[Any]] = {
        name: Counter() for name in ("token", "user", "hour", "requests")
    }
    for usage in kept:
        assert usage.at is not None
        spent, user = -usage.quota if usage.refund else usage.quota, 1 + (usage.token_id == 3)
        sums["token"][usage.token_id] += spent
        sums["user"][user] += spent
        sums["requests"][user] += not usage.refund
        sums["hour"][usage.token_id, usage.model, usage.at // 3600 * 3600] += spent
    return kept, sums


def check_against_model(billing: Billing, batches: list[list[Usage]]) -> None:
    """Users 1 and 2; tokens 1 and 2 are of user 1, token 3 of user 2."""
    for name in ("alice", "bob"):
        billing.user(name, 10**6)
    for name in ("alice", "alice", "bob"):
        billing.token(name, "--quota", "1000")

    for batch in batches:
        recorded(billing, *batch)

    kept, sums = modelled(batches)
    logged = billing.execute(
        "SELECT token_id, model_name, quota, prompt_tokens, completion_tokens, created_at,"
        " request_id, type = 6 FROM logs WHERE type <> 1 ORDER BY id"
    )
    # On a server, what has no request_id is given one.
    asked = {usage.request_id for usage in kept}
    own = [(*row[:6], row[6] if row[6] in asked else None, row[7]) for row in logged]
    assert own == [tuple(usage) for usage in kept]
    tokens = billing.execute("SELECT id, remain_quota, used_quota FROM tokens ORDER BY id")
    assert tokens == [(id, 1000 - sums["token"][id], sums["token"][id]) for id in (1, 2, 3)]
    users = billing.execute("SELECT id, quota, used_quota, request_count FROM users ORDER BY id")
    assert users == [
        (id, 10**6 - sums["user"][id], sums["user"][id], sums["requests"][id]) for id in (1, 2)
    ]
    hourly = billing.execute("SELECT token_id, model_name, created_at, quota FROM quota_data")
    assert {row[:3]: row[3] for row in hourly} == sums["hour"]
    assert len(hourly) == len(sums["hour"])


batches = st.lists(st.lists(usages, max_size=12), max_size=4)


@given(batches=batches)
@settings(max_examples=40, deadline=None)
def test_sums_agree_on_sqlite_whatever_comes(batches: list[list[Usage]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        billing = Billing(f"sqlite:///{Path(folder) / 'billing.db'}")
        billing.run("init")
        check_against_model(billing, batches)


@given(batches=batches)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_sums_agree_on_mariadb_whatever_comes(mariadb: MariaDB, batches: list[list[Usage]]) -> None:
    with mariadb.database() as url:
        billing = Billing(url)
        billing.run("init")
        check_against_model(billing, batches)
