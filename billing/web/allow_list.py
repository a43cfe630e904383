"""A token's allow-list: which client addresses may use it (docs/contract.md section 3)."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from billing.core.token_setting import parse_setting
from billing.database.models import ALLOW_LIST_NETWORKS
from billing.database.queries import TokenRow

#: Networks, and addresses as text, letter by letter.
Entries = tuple[IPv4Network | IPv6Network | str, ...]

#: Reads what a column holds; None is no limit.
Parser = Callable[[Any], Entries | None]

#: What the parsed lists may take in a worker's memory, all together.
_CACHE_BYTES = 16 * 2**20

#: What one network takes, and an entry of the cache besides its text, about.
_NETWORK_BYTES, _ENTRY_BYTES = 500, 300

log = logging.getLogger("billing")


def allows(token: TokenRow, address: str) -> bool:
    """Whether the token's allow-lists, ours and the gateways', hold the client's address."""
    if token.allow_list_is_too_long:
        _warn_of_length(token.id)
        return False
    if token.allow_ips and not _contains(_parsed(_parse_allow_ips, token.allow_ips), address):
        return False
    if token.subnet and not _contains(_parsed(_parse_subnets, token.subnet), address):
        return False
    return token.setting is None or _contains(_parsed(_parse_setting, token.setting), address)


@lru_cache(maxsize=4096)
def _warn_of_length(token_id: int) -> None:
    """Log it once, however often the token asks."""
    log.warning("the allow-list of token %s is too long: it allows no address", token_id)


class _Cache:
    """What lists were parsed to, the latest used, of at most so many bytes. Safe under threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._lock = threading.Lock()
        self._parsed: OrderedDict[tuple[Parser, object], Entries | None] = OrderedDict()

    def __call__(self, parse: Parser, stored: object) -> Entries | None:
        key = parse, stored
        with self._lock:
            if key in self._parsed:
                self._parsed.move_to_end(key)
                return self._parsed[key]
        entries = parse(stored)
        with self._lock:
            if key not in self._parsed:
                self._parsed[key] = entries
                self._bytes += self._size(stored, entries)
            while self._bytes > self._max_bytes:
                (_, dropped), dropped_entries = self._parsed.popitem(last=False)
                self._bytes -= self._size(dropped, dropped_entries)
        return entries

    @staticmethod
    def _size(stored: object, entries: Entries | None) -> int:
        return _ENTRY_BYTES + sys.getsizeof(stored) + _NETWORK_BYTES * len(entries or ())


_parsed = _Cache(_CACHE_BYTES)


def _contains(entries: Entries | None, address: str) -> bool:
    """Whether one of the entries holds the address; None is no limit."""
    if entries is None:
        return True
    try:
        client = ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    texts = {address, str(client)}
    return any(entry in texts if isinstance(entry, str) else client in entry for entry in entries)


def _parse_allow_ips(allow_ips: str) -> Entries | None:
    """new-api's list and ours, one a line; a blank list is no limit, junk allows no address."""
    lines = [re.sub("[ ,\t\r]", "", line) for line in allow_ips.split("\n")]
    if not any(lines):
        return None
    networks = []
    for line in filter(None, lines):
        with suppress(ValueError):
            networks.append(_parse_network(line))
    return tuple(networks)


def _parse_subnets(subnet: str) -> Entries:
    """one-api's list, networks with commas between and blanks around them; others do not count."""
    return _parse_networks(text.strip() for text in subnet.split(",") if "/" in text)


def _parse_setting(setting: object) -> Entries | None:
    """one-hub's and done-hub's list, addresses and networks; () if it cannot be understood."""
    try:
        whitelist = parse_setting(setting).whitelist
    except ValueError:
        return ()
    if not whitelist:
        return None
    if len(whitelist) > ALLOW_LIST_NETWORKS:
        return ()
    networks = _parse_networks(text for text in whitelist if "/" in text)
    return *networks, *(text for text in whitelist if "/" not in text)


def _parse_networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Those of the texts that are addresses and networks; the others hold no address."""
    networks = []
    for text in texts:
        with suppress(ValueError):
            networks.append(_parse_network(text))
    return tuple(networks)


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    """An IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`) becomes the IPv4 network it stands for.

    Raises ValueError for anything else than an address or a prefix length behind it: netmasks such
    as `10.0.0.0/255.0.0.0` and zones are refused.
    """
    _, slash, prefix = text.partition("/")
    if "%" in text or (slash and not re.fullmatch("[0-9]{1,3}", prefix, re.ASCII)):
        raise ValueError(text)
    # Not `ip_network`, which tries both.
    network = (IPv6Network if ":" in text else IPv4Network)(text, strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
