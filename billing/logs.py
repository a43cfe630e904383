"""The service's log lines, and what keeps secrets out of them, whoever writes them."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

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


#: The paths that an access line names. Any other may be a misplaced key, or a forged line.
_OURS = re.compile(
    r"(/+v1)?/+(dashboard/+billing(/+[a-z_.-]{1,19}){0,2}|organization/+costs)/*"
    r"|/+(healthz|readyz|metrics|openapi\.json)/*"
)


class Redact(logging.Filter):
    """Redacts every message that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        atoms = record.args
        if isinstance(atoms, dict) and not _OURS.fullmatch(str(atoms.get("U", "/healthz"))):
            atoms["U"] = "other"
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


class TextFormatter(logging.Formatter):
    """A line for people; what was about a request ends with its id."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        asked = getattr(record, "request_id", None)
        return f"{line} [{asked}]" if asked else line

    def formatException(self, ei: Any) -> str:
        return redacted(super().formatException(ei))


class JSONFormatter(logging.Formatter):
    """One object a line: time, level, message; the id, or all that is told, of a request."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
        }
        if asked := getattr(record, "asked", None):
            return json.dumps({**told, **asked}, ensure_ascii=False)
        told["message"] = record.getMessage()
        if request_id := getattr(record, "request_id", None):
            told["request_id"] = request_id
        if record.exc_info:
            told["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False)


def init_app(level: str, form: str = "text") -> None:
    """Write our own lines to standard error, once however many applications are made."""
    log = logging.getLogger("billing")
    log.setLevel(level)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.addFilter(Redact())
        log.addHandler(handler)
    log.handlers[0].setFormatter(JSONFormatter() if form == "json" else TextFormatter())
