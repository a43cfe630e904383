"""Two thousand requests as no client library sends them; twenty thousand in `make soak`."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.odd_requests import exchanged, judge, requests
from tests.support.site import USAGE, Site

#: On each kind of database.
EXAMPLES = 1000


def fuzz(site: Site, examples: int, *, fixed: bool) -> set[int]:
    """Send so many, the same ones each time if `fixed`; the statuses that came back."""
    statuses: set[int] = set()

    @settings(
        max_examples=examples,
        derandomize=fixed,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        request = data.draw(requests(site))
        received = exchanged(site.server.port, request.raw)
        statuses.add(int(received[9:12]) if received else 0)
        judge(request, received)

    send()
    return statuses


def test_no_request_breaks_an_answer_or_reads_what_is_not_its_own(site: Site) -> None:
    workers = site.server.workers()

    statuses = fuzz(site, EXAMPLES, fixed=True)

    # It went everywhere: to closed connections, figures, refusals of ours and of the server's.
    assert {0, 200, 400, 401, 404, 405} <= statuses
    assert site.server.workers() == workers
    assert site.ask(USAGE, "example").body == b'{"object":"list","total_usage":2500.0}\n'
