"""Three imports, one through each node of a cluster, over the same tokens, while nodes go away."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate, count, cycle, product
from pathlib import Path
from typing import Any

import pytest

from tests.live.test_cluster import clustered, galera  # noqa: F401 -- fixtures
from tests.support.application import Billing
from tests.support.cluster_load import ClusterLoad, Import, watch_for_outages, web
from tests.support.galera import Galera
from tests.support.gunicorn import Gunicorn
from tests.support.mariadb import MariaDB, database_name
from tests.support.processes import wait_for
from tests.support.site import USAGE

HOUR = 3600


def lines_of(number: int, tokens: list[int]) -> Iterator[dict[str, Any]]:
    """Uses and refunds; of all tokens but the first, a fifth are in the other imports too."""
    draw = random.Random(number)
    for position in count():
        shared = random.Random(position)
        mine, token_id = draw.random() < 0.8, draw.choice(tokens)
        source = draw if mine or token_id == tokens[0] else shared
        line = {
            "token_id": token_id if source is draw else shared.choice(tokens[1:]),
            "model": source.choice(["gpt-4o", "GPT-4o", "o4-mini"]),
            "quota": source.randint(0, 1000),
            "prompt_tokens": source.randint(0, 9),
            "at": 1_700_000_000 + source.randint(0, 5 * HOUR),
            "refund": source.random() < 0.1,
            "request_id": f"{number}-{position}" if source is draw else f"shared-{position}",
        }
        yield line


def kill(cluster: Galera, node: MariaDB) -> Callable[[], None]:
    node.kill()
    return node.start


def freeze(cluster: Galera, node: MariaDB) -> Callable[[], None]:
    process = node.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def cut_off(cluster: Galera, node: MariaDB) -> Callable[[], None]:
    cluster.isolate(node)
    return lambda: cluster.rejoin(node)


def test_imports_through_three_nodes_lose_nothing_while_nodes_go_away(
    galera: Galera,  # noqa: F811
    clustered: Billing,  # noqa: F811
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
    minutes: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = [clustered.token("alice", "--quota", "50000000") for _ in range(4)]
    tokens = [token["id"] for token in made]
    name = database_name(clustered.env["DATABASE_URL"])
    faults: list[float] = []
    outages: list[float] = []
    rounds = 0
    with (
        watch_for_outages(galera, outages),
        web(clustered, gunicorn, tmp_path, made[0]["key"]) as callers,
        ExitStack() as stack,
    ):
        imports = []
        for number in range(3):
            # Each prefers a node of its own.
            order = galera.nodes[number:] + galera.nodes[:number]
            imports.append(Import(galera.url(name, *order), lines_of(number, tokens)))
            stack.callback(imports[-1].process.kill)
        end = time.monotonic() + minutes * 60
        for node, fault in cycle(product(galera.nodes, (kill, freeze, cut_off))):
            if time.monotonic() > end:
                break
            faults.append(time.monotonic())
            mend = fault(galera, node)
            time.sleep(8)
            faults.append(time.monotonic())
            mend()
            galera.wait_until_whole()
            for each in imports:
                each.more(1000)
            rounds += 1
        told = [each.end() for each in imports]

    callers.check([*faults, *outages])
    compare(galera, name, tokens, [each.given for each in imports], [one for one, _ in told])
    watch(callers, tokens[0], [each.given for each in imports])
    given = [line for each in imports for line in each.given]
    lost = sum(complaints.count("connection was lost") for _, complaints in told)
    answers = Counter(seen.answer.status for seen in callers.seen)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{rounds} times a node killed, frozen or cut off: {len(given)} lines by three"
            f" imports, which lost {lost} connections; callers were told {dict(answers)};"
            f" for {len(outages) / 10:.1f} s no node was in a cluster\n"
        )


def compare(
    cluster: Galera,
    name: str,
    ids: list[int],
    given: list[list[dict[str, Any]]],
    told: list[dict[str, Any]],
) -> None:
    """Replay every line one by one, and find the same on every node."""
    logs: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    hours: Counter[tuple[Any, ...]] = Counter()
    tokens, requests = dict.fromkeys(ids, 0), 0
    for line in (line for lines in given for line in lines):
        key, token_id = (line["refund"], line["request_id"]), line["token_id"]
        row = (token_id, line["model"], line["quota"], line["prompt_tokens"], line["at"])
        assert logs.setdefault(key, row) == row
        if logs[key] is row:
            spent = -line["quota"] if line["refund"] else line["quota"]
            tokens[token_id] += spent
            hours[token_id, line["model"], line["at"] // HOUR * HOUR] += spent
            requests += not line["refund"]
    assert [one["bad"] for one in told] == [[], [], []]
    assert sum(one["recorded"] for one in told) == len(logs)
    assert sum(one["skipped"] for one in told) == sum(map(len, given)) - len(logs)

    def same(node: MariaDB) -> bool:
        def rows(sql: str) -> list[tuple[Any, ...]]:
            return node.execute(sql, database=name)

        return (
            {
                (type == 6, request_id): tuple(row)
                for type, request_id, *row in rows(
                    "SELECT type, request_id, token_id, model_name, quota, prompt_tokens,"
                    " created_at FROM logs WHERE type IN (2, 6)"
                )
            }
            == logs
            and rows("SELECT COUNT(*) FROM logs WHERE type IN (2, 6)") == [(len(logs),)]
            and {
                row[:-1]: row[-1]
                for row in rows("SELECT token_id, model_name, created_at, quota FROM quota_data")
            }
            == hours
            and rows("SELECT id, used_quota, remain_quota FROM tokens ORDER BY id")
            == [(id, tokens[id], 50_000_000 - tokens[id]) for id in ids]
            and rows("SELECT used_quota, quota + used_quota, request_count FROM users")
            == [(sum(tokens.values()), 50_000_000, requests)]
        )

    for node in cluster.nodes:
        wait_for(partial(same, node), "every line once on every node")


def watch(callers: ClusterLoad, token_id: int, given: list[list[dict[str, Any]]]) -> None:
    """Every figure was what some of the batches of each import make, counted in its order."""
    sums = []
    for lines in given:
        batches = [lines[at : at + 1000] for at in range(0, len(lines), 1000)]
        spent = [
            sum(
                -line["quota"] if line["refund"] else line["quota"]
                for line in batch
                if line["token_id"] == token_id
            )
            for batch in batches
        ]
        sums.append(list(accumulate(spent, initial=0)))
    # In cents, 5000 units of quota each.
    possible = {sum(parts) / 5000 for parts in product(*sums)}
    for seen in callers.seen:
        if seen.path == USAGE and seen.answer.status == 200:
            assert seen.answer.json["total_usage"] in possible
