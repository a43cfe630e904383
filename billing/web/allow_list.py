"""A token's allow-list: which client addresses may use it (docs/contract.md section 3)."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from billing.database.queries import TokenRow

Networks = tuple[IPv4Network | IPv6Network, ...]


def allows(token: TokenRow, address: str) -> bool:
    """Whether the token's allow-lists, ours and the gateways', hold the client's address."""
    if token.allow_ips and not _contains(_parse_allow_ips(token.allow_ips), address):
        return False
    return not token.subnet or _contains(_parse_subnets(token.subnet), address)


def _contains(networks: Networks | None, address: str) -> bool:
    """Whether one of the networks holds the address; None is no limit."""
    if networks is None:
        return True
    try:
        client = ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)


@lru_cache(maxsize=4096)
def _parse_allow_ips(allow_ips: str) -> Networks | None:
    """new-api's list and ours, one a line; a blank list is no limit, junk allows no address."""
    lines = [re.sub("[ ,\t\r]", "", line) for line in allow_ips.split("\n")]
    if not any(lines):
        return None
    networks = []
    for line in filter(None, lines):
        with suppress(ValueError):
            networks.append(_parse_network(line))
    return tuple(networks)


@lru_cache(maxsize=4096)
def _parse_subnets(subnet: str) -> Networks:
    """one-api's list, networks with commas between; anything else in it refuses everybody."""
    try:
        networks = tuple(_parse_network(text) for text in subnet.split(","))
    except ValueError:
        return ()
    return networks if all("/" in text for text in subnet.split(",")) else ()


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    """An IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`) becomes the IPv4 network it stands for.

    Raises ValueError for anything else than an address or a prefix length behind it: netmasks such
    as `10.0.0.0/255.0.0.0` are refused.
    """
    _, slash, prefix = text.partition("/")
    if slash and not re.fullmatch("[0-9]{1,3}", prefix, re.ASCII):
        raise ValueError(text)
    network = ip_network(text, strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
