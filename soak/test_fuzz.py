"""Twenty thousand requests as no client library sends them, other ones each time."""

from __future__ import annotations

from tests.live.test_fuzz import fuzz
from tests.support.site import USAGE, Site

#: On each kind of database.
EXAMPLES = 10_000


def test_no_request_breaks_an_answer_or_reads_what_is_not_its_own(site: Site) -> None:
    statuses = fuzz(site, EXAMPLES, fixed=False)

    assert {0, 200, 400, 401, 404, 405} <= statuses
    assert site.ask(USAGE, "example").body == b'{"object":"list","total_usage":2500.0}\n'
