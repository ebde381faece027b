"""The source address of a request: that of its connection, or what a proxy of the configuration says it is.

``X-Forwarded-For`` grows to the right: each proxy adds the address that it was asked from. What is left of
that which the outermost trusted proxy has added is the caller's own invention, and is not even looked at.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.errors import malformed

HEADER: Final = "X-Forwarded-For"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request comes from; ``proxied``: not straight, so that what TLS knows is about the proxy."""

    address: str
    proxied: bool


class Proxies:
    """The proxies that are believed about who asked them."""

    def __init__(self, blocks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(block) for block in blocks)

    def has(self, address: str) -> bool:
        """Say whether a connection from this address is a trusted proxy's."""
        return bool(self._networks) and self._is_one(_parse(address))

    def locate(self, address: str, forwarded: str | None) -> Source:
        """Return where a request comes from that came over a connection from ``address``.

        Raises:
            Refusal: ``malformed-request``; a trusted proxy does not say it in form.
        """
        here = _parse(address)
        if not self._is_one(here):
            return Source(str(here), proxied=False)
        for text in reversed([] if forwarded is None else forwarded.split(",")):
            try:
                found = _parse(text.strip())
            except ValueError as error:
                raise malformed(HEADER, "expected addresses, as 192.0.2.7, 2001:db8::7") from error
            if not self._is_one(found):
                return Source(str(found), proxied=True)
        return Source(str(here), proxied=True)  # the proxy's own: to see whether we are well, for example

    def _is_one(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> _Address:
    """Parse an address; a link's own name is left out, and IPv4 within IPv6 is IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped) or found
