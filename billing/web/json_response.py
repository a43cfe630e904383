"""JSON responses: compact UTF-8 without escapes, keys in the order of the schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from flask import Response
from werkzeug.datastructures import Headers

# Built once: json.dumps would make an encoder for every body. No body holds itself.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_OK = "200 OK"


def to_json(body: Any) -> str:
    return _encode(body)


class JSONResponse(Response):
    """A whole body, answered as it is.

    Werkzeug's own corrects what redirects and streams need at every answer, and looks at each
    header twice; without that a request costs 35 µs less. Its `headers` are made at first use.
    """

    # What Werkzeug sets for each response.
    _status, _status_code = _OK, 200
    direct_passthrough = False

    def __init__(
        self, body: Any, status: str | int = _OK, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        content = f"{_encode(body)}\n".encode()
        self.response = self._content = [content]
        self._own_headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
            *headers,
        ]
        if status != _OK:
            self.status = status

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        return Headers(self._own_headers)

    @cached_property
    def _on_close(self) -> list[Callable[[], Any]]:  # type: ignore[override]
        return []

    def get_wsgi_response(
        self, environ: Mapping[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        content = [] if environ["REQUEST_METHOD"] == "HEAD" else self._content
        was_used = "headers" in self.__dict__
        headers = self.headers.to_wsgi_list() if was_used else self._own_headers
        return content, self.status, headers
