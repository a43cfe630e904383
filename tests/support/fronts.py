"""The proxies that samples in deploy/ set up, and the service behind one of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.caddy import Caddy
from tests.support.nginx import Nginx
from tests.support.site import Site


class Front(NamedTuple):
    """A proxy, and the service behind it: their files are in one folder."""

    proxy: Nginx | Caddy
    site: Site

    @property
    def socket(self) -> Path:
        """Where the service listens."""
        return self.proxy.folder.parent / "gunicorn.sock"


#: nginx is in front unless a test says so.
behind_each = pytest.mark.parametrize("front", [Nginx, Caddy], indirect=True)
