"""The service's log lines, and what keeps secrets out of them, whoever writes them."""

from __future__ import annotations

import logging
import re

# The server quotes what it refuses or got half of: request lines, headers, whole blocks of them.
_REFUSED = re.compile(
    r"(Invalid request from ip=[0-9a-f.:]*: [^:'\"]*|No more data after).*", re.DOTALL
)
_QUERY = re.compile(r"\?[^\s'\"]*")
_KEY = re.compile(r"sk-[A-Za-z0-9]+")
# No path of ours has so long a word: a key or access token that somebody put there.
_LONG = re.compile(r"(?<=/)[A-Za-z0-9%+=]{20,}")


def redacted(text: str) -> str:
    """`text` without query strings, keys, or what the server quotes of a refused request."""
    text = _QUERY.sub("?…", _REFUSED.sub(r"\1", text))
    return _LONG.sub("…", _KEY.sub("sk-…", text))


class Redact(logging.Filter):
    """Redacts every message that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


def init_app(level: str) -> None:
    """Write our own lines to standard error, once however many applications are made."""
    log = logging.getLogger("billing")
    log.setLevel(level)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handler.addFilter(Redact())
        log.addHandler(handler)
