"""Formats log lines, and redacts secrets from them, gunicorn's lines too."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

# gunicorn quotes requests that it refuses or received in part: lines, headers, whole blocks.
_QUOTED_REQUEST = re.compile(
    r"(Invalid request from ip=[0-9a-f.:]*: [^:'\"]*|No more data after).*", re.DOTALL
)
_QUERY = re.compile(r"\?[^\s'\"]*")
_KEY = re.compile(r"sk-[A-Za-z0-9]+")
# No path of ours has so long a segment: it is a misplaced key or access token.
_LONG_SEGMENT = re.compile(r"(?<=/)[A-Za-z0-9%+=]{20,}")


def redacted(text: str) -> str:
    """`text` without query strings, keys, or what the server quotes of a refused request."""
    text = _QUERY.sub("?…", _QUOTED_REQUEST.sub(r"\1", text))
    return _LONG_SEGMENT.sub("…", _KEY.sub("sk-…", text))


#: The paths that an access line names. Any other may hold a misplaced key or forge a line.
_KNOWN_PATHS = re.compile(
    r"(/+v1)?/+dashboard/+billing(/+[a-z_.-]{1,19}){0,2}/*"
    r"|/+v1/+organization/+(costs|usage/+completions)/*"
    r"|/+(api/+usage/+token|healthz|readyz|metrics|openapi\.json)/*"
)


class RedactingFilter(logging.Filter):
    """Redacts every message that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        atoms = record.args
        if isinstance(atoms, dict) and not _KNOWN_PATHS.fullmatch(str(atoms.get("U", "/healthz"))):
            atoms["U"] = "other"
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


class TextFormatter(logging.Formatter):
    """A line for people, with the request id at its end if a request caused it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", None)
        return f"{line} [{request_id}]" if request_id else line

    def formatException(self, ei: Any) -> str:
        return redacted(super().formatException(ei))


class JSONFormatter(logging.Formatter):
    """One JSON object per line: time, level, message; for access lines the request's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
        }
        if request_fields := getattr(record, "request_fields", None):
            return json.dumps({**line, **request_fields}, ensure_ascii=False)
        line["message"] = record.getMessage()
        if request_id := getattr(record, "request_id", None):
            line["request_id"] = request_id
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def init_app(level: str, log_format: str = "text") -> None:
    """Write our own lines to standard error, once however many applications are made."""
    log = logging.getLogger("billing")
    log.setLevel(level)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.addFilter(RedactingFilter())
        log.addHandler(handler)
    log.handlers[0].setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
