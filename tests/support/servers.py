"""The servers that the service runs under, for tests to choose from."""

from __future__ import annotations

import pytest

from tests.support.granian import Granian, ThreadedGranian
from tests.support.gunicorn import Gunicorn, ThreadedGunicorn


def under(*servers: type[Gunicorn]) -> pytest.MarkDecorator:
    """Run a test under each of `servers`, by whichever fixture starts one."""
    return pytest.mark.parametrize("server_class", servers, ids=lambda server: server.__name__)


THREADED = (ThreadedGunicorn, ThreadedGranian)

under_threads = under(*THREADED)

#: The plain one too.
under_threads_too = under(Gunicorn, *THREADED)

ALL = (Gunicorn, ThreadedGunicorn, Granian, ThreadedGranian)
