"""The secrets that tests made, and the places where none of them may be found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

#: Keys, access tokens and passwords, as bytes.
SECRETS: set[bytes] = set()

#: The logs of servers: files, or folders of *.log.
SERVER_LOGS: list[Path] = []

#: The bodies of errors and of metrics that callers got.
ERROR_BODIES: set[bytes] = set()


def leaks(data: bytes) -> set[bytes]:
    """The secrets that `data` holds."""
    words = re.findall(rb"[A-Za-z0-9]{32,}", data)
    found = SECRETS.intersection(words)
    # A secret amid others, and those that are no plain words.
    long = b" ".join(word for word in words if len(word) > 48)
    return found | {
        secret for secret in SECRETS if secret in long or (len(secret) < 32 and secret in data)
    }


def remember(made: dict[str, Any]) -> dict[str, Any]:
    """A user or token, as it was; its secret is among SECRETS now."""
    secret = made.get("key") or made["access_token"]
    SECRETS.add(secret.removeprefix("sk-").encode())
    return made
