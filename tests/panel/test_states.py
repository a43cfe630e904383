"""What people see of a key that the service answers, in each state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.panel.conftest import Panel, in_dollars, used
from tests.support.site import Site

#: Whose key; the state in words; remaining; used, limit, expiry.
STATES = [
    (
        "busy",
        "Active",
        in_dollars(100 - used(80)),
        [in_dollars(used(80)), "$100.00", "Never expires"],
    ),
    ("expiring", "Expires soon", "$10.00", ["$0.00", "$10.00", "Expires in"]),
    ("example", "Expired", "$75.00", ["$25.00", "$100.00", "Expired"]),
    ("exhausted", "Used up", "−$0.00001", ["$0.00003", "$0.00002", "Never expires"]),
    ("unlimited", "Active", "Unlimited", ["$0.00", "Unlimited", "Never expires"]),
]


@pytest.mark.parametrize(("key", "state", "remaining", "facts"), STATES)
def test_a_key_shows_its_figures_and_its_state_in_words(
    panel: Callable[..., Panel], site: Site, key: str, state: str, remaining: str, facts: list[str]
) -> None:
    screen = panel().open().ask(site.keys[key])

    screen.shows(".chip", state)
    screen.shows(".figure", remaining)
    for shown, fact in zip(screen.facts(), facts, strict=True):
        assert shown.startswith(fact)
    screen.page.wait_for_selector("#days:not([aria-busy])")
    screen.save(f"state-{key}")
