"""The before_request hook: headers to g.caller, or the error of CONTRACT section 3."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from flask import g, request

from billing.core.service import Service, service
from billing.database.models import READABLE
from billing.database.queries import TokenRow, UserRow
from billing.errors import (
    APIKeyDisabled,
    InvalidAPIKey,
    IPNotAllowed,
    MissingAPIKey,
    UserDisabled,
    UserMismatch,
)

_BEARER = re.compile(r"bearer[ \t]+|bearer$", re.IGNORECASE | re.ASCII)
_KEY = re.compile(r"[!-,.-~]{1,128}", re.ASCII)
_USER_ID = re.compile("[0-9]{1,18}", re.ASCII)

Networks = tuple[IPv4Network | IPv6Network, ...]


class Caller(NamedTuple):
    """Who the request speaks for; `token` is None for a user's access token."""

    user: UserRow
    token: TokenRow | None


def authenticate() -> None:
    """Set g.caller. Raises the first error of the contract's table that applies."""
    if request.method == "OPTIONS":
        return
    # Servers join repeated headers with a comma: the first counts.
    headers = request.headers
    secret = _bare(headers.get("Authorization", "").partition(",")[0])
    if not secret:
        raise MissingAPIKey
    g.caller = _caller(secret, _bare(headers.get("New-Api-User", "")))


def _bare(header: str) -> str:
    """The header's value without surrounding blanks and without `Bearer`."""
    value = header.strip(" \t")
    match = _BEARER.match(value)
    return value[match.end() :] if match else value


def _caller(secret: str, user_id: str) -> Caller:
    billing = service()
    billing.begin()
    token = token_with(billing, secret)
    if token and token.deleted_at is None:
        return _token_caller(token, user_id, billing.settings.require_new_api_user)
    if _USER_ID.fullmatch(user_id):
        user = billing.reads.user(int(user_id))
        if user and billing.same(user.access_token or "", billing.stored(secret)):
            if not user.enabled:
                raise UserDisabled
            return Caller(user, None)
    raise InvalidAPIKey


def token_with(billing: Service, secret: str) -> TokenRow | None:
    """The token of that key, deleted or not; `sk-` and a `-channel` behind it do not count."""
    key = secret.removeprefix("sk-").partition("-")[0]
    if not _KEY.fullmatch(key):
        return None
    stored = billing.stored(key)
    token = billing.reads.token(stored)
    # MySQL may compare without case, accents and trailing blanks: compare again.
    return token if token and billing.same(token.key, stored) else None


def _token_caller(token: TokenRow, user_id: str, user_id_required: bool) -> Caller:
    if token.status not in READABLE:
        raise APIKeyDisabled
    named = int(user_id) if _USER_ID.fullmatch(user_id) else None
    if (user_id or user_id_required) and named != token.user_id:
        raise UserMismatch
    if token.user is None or not token.user.enabled:
        raise UserDisabled
    address = request.remote_addr or ""
    if token.allow_ips and not _allows(_lines(token.allow_ips), address):
        raise IPNotAllowed
    if token.subnet and not _allows(_subnet(token.subnet), address):
        raise IPNotAllowed
    return Caller(token.user, token)


def _allows(networks: Networks | None, address: str) -> bool:
    """Whether an allow-list holds the client's address; None is no limit."""
    if networks is None:
        return True
    try:
        client = ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)


@lru_cache(maxsize=4096)
def _lines(allow_ips: str) -> Networks | None:
    """new-api's list and ours, one a line; a blank list is no limit, junk allows nobody."""
    lines = [re.sub("[ ,\t\r]", "", line) for line in allow_ips.split("\n")]
    if not any(lines):
        return None
    networks = []
    for line in filter(None, lines):
        with suppress(ValueError):
            networks.append(_network(line))
    return tuple(networks)


@lru_cache(maxsize=4096)
def _subnet(subnet: str) -> Networks:
    """one-api's list, networks with commas between; anything else in it refuses everybody."""
    try:
        networks = tuple(_network(text) for text in subnet.split(","))
    except ValueError:
        return ()
    return networks if all("/" in text for text in subnet.split(",")) else ()


def _network(text: str) -> IPv4Network | IPv6Network:
    """An IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`) is the IPv4 network that it means.

    Raises ValueError for what is none, netmasks such as `10.0.0.0/255.0.0.0` among it.
    """
    _, slash, prefix = text.partition("/")
    if slash and not re.fullmatch("[0-9]{1,3}", prefix, re.ASCII):
        raise ValueError(text)
    network = ip_network(text, strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
