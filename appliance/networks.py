"""Source addresses: sets of CIDR blocks, sorted and masked, and their intersection."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Two such sets intersect in at most twice as many blocks of at most 43 characters: that fits the 8192 bytes
# which a certificate's source-address may have.
MAX_NETWORKS: Final = 90


def parse_networks(blocks: Sequence[object]) -> tuple[str, ...]:
    """Parse CIDR blocks (a bare address is a block of one) and return them sorted and without overlap.

    Raises:
        ValueError: one is no CIDR block, has host bits, or there are too many.
    """
    if not 0 < len(blocks) <= MAX_NETWORKS:
        raise ValueError(f"got {len(blocks)} blocks, expected 1 to {MAX_NETWORKS}")
    networks = []
    for block in blocks:
        if not isinstance(block, str) or "%" in block:
            raise ValueError(f"got {str(block)[:80]!r}, expected a CIDR block, such as 10.8.0.0/16")
        networks.append(ipaddress.ip_network(block))
    return _canonical(networks)


def intersect_networks(left: Sequence[str], right: Sequence[str]) -> tuple[str, ...]:
    """Return the blocks that are in both sets; empty when nothing is, which is for the caller to refuse."""
    common = []
    for one, other in product(map(ipaddress.ip_network, left), map(ipaddress.ip_network, right)):
        if one.version == other.version and one.overlaps(other):
            common.append(max(one, other, key=lambda network: network.prefixlen))
    return _canonical(common)


def _canonical(networks: Iterable[Network]) -> tuple[str, ...]:
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return tuple(
        str(network) for network in (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    )
