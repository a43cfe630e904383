"""Two thousand requests as no client library sends them; twenty thousand in `make soak`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.support.gunicorn import Gunicorn
from tests.support.odd_requests import Request, exchanged, judge, requests
from tests.support.servers import under_threads
from tests.support.site import USAGE, Callers, Site

#: On each kind of database, and of them under each threaded server.
EXAMPLES, BATCHES = 1000, 60

#: As many as a threaded worker has threads, twice.
AT_ONCE = 8


#: A 404 for certain.
_UNKNOWN_PATH = Request(b"GET /v1/dashboard/billing/nothing HTTP/1.1\r\nHost: x\r\n\r\n", False)


def fuzz(site: Site, examples: int, *, fixed: bool, at_once: int = 1) -> set[int]:
    """Send so many batches of `at_once` requests, the same ones each time if `fixed`.

    Returns the statuses that came back.
    """
    statuses: set[int] = set()
    batches = st.lists(requests(site), min_size=at_once, max_size=at_once)
    port = site.server.port

    @settings(
        max_examples=examples,
        derandomize=fixed,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(batches)
    @example([_UNKNOWN_PATH] * at_once)
    def send(batch: list[Request]) -> None:
        answers = pool.map(lambda request: exchanged(port, request.raw), batch)
        for request, received in zip(batch, list(answers), strict=True):
            statuses.add(int(received[9:12]) if received else 0)
            judge(request, received)

    with ThreadPoolExecutor(at_once) as pool:
        send()
    return statuses


def test_no_request_breaks_an_answer_or_reads_what_is_not_its_own(site: Site) -> None:
    workers = site.server.workers()

    statuses = fuzz(site, EXAMPLES, fixed=True)

    # It went everywhere: to closed connections, figures, refusals of ours and of the server's.
    assert {0, 200, 400, 401, 404, 405} <= statuses
    assert site.server.workers() == workers
    assert site.ask(USAGE, "example").body == b'{"object":"list","total_usage":2500.0}\n'


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_no_request_breaks_an_answer_from_the_usage_cache(cached_site: Site) -> None:
    workers = cached_site.server.workers()

    statuses = fuzz(cached_site, EXAMPLES // 2, fixed=True)

    assert {0, 200, 400, 401, 404, 405} <= statuses
    assert cached_site.server.workers() == workers
    assert cached_site.ask(USAGE, "example").body == b'{"object":"list","total_usage":0.05}\n'


@under_threads
def test_odd_requests_at_once_are_each_answered_by_themselves(
    server_class: type[Gunicorn], callers: Callers, tmp_path: Path
) -> None:
    # A connection that is kept may rightly carry a second request.
    with callers.served(server_class, tmp_path, *server_class.NO_KEEP_ALIVE) as site:
        workers = site.server.workers()

        statuses = fuzz(site, BATCHES, fixed=True, at_once=AT_ONCE)

        assert {200, 400, 401, 404} <= statuses
        assert site.server.workers() == workers
        assert site.ask(USAGE, "example").body == b'{"object":"list","total_usage":2500.0}\n'
