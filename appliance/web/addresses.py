"""What one source address may hold and do in a worker: so many connections, so many failed authentications.

An IPv6 network of 64 bits counts as one address, since whoever has one of its addresses has all of them.
Addresses that the configuration exempts (load balancers, proxies, the machine itself) stand for many callers
and are not counted.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final

from appliance.buckets import Rate
from appliance.config import LimitsTable
from appliance.limiter import Limiter

_MINUTE_S: Final = 60
# Of 128 bits, those that belong to one subscriber (RFC 6177).
_IPV6_PREFIX: Final = 64


class Addresses:
    """Counts by source address. No table grows beyond what the worker holds, or a limiter keeps."""

    def __init__(self, limits: LimitsTable, proxies: tuple[str, ...] = ()) -> None:
        """Begin counting; ``proxies`` are exempt too, as they say whom they stand for."""
        self._most = limits.connections_per_address
        self._exempt = tuple(ipaddress.ip_network(block) for block in (*limits.exempt, *proxies))
        self._open: Counter[str] = Counter()
        self._arrivals = Limiter(Rate(per_s=self._most, burst=self._most))
        self._failures = Limiter(
            Rate(per_s=limits.failures_per_minute / _MINUTE_S, burst=limits.failures_per_minute)
        )
        self._passwords = Limiter(
            Rate(per_s=limits.passwords_per_minute / _MINUTE_S, burst=limits.passwords_per_minute)
        )

    def enter(self, address: str, now_s: float) -> bool:
        """Count a connection; say whether its address may have it, so many open and so many a second."""
        key = self._key(address)
        if key is not None:
            if self._open.get(key, 0) >= self._most or self._arrivals.take(key, now_s):
                return False
            self._open[key] += 1
        return True

    def leave(self, address: str) -> None:
        """Note that a connection that was let in has ended."""
        key = self._key(address)
        if key is not None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def fail(self, address: str, now_s: float) -> float:
        """Count a request that failed; return 0, or the seconds to wait if they are too many."""
        key = self._key(address)
        return 0.0 if key is None else self._failures.take(key, now_s)

    def try_password(self, address: str, now_s: float) -> float:
        """Count a password that is tried; return 0, or the seconds to wait if they are too many."""
        key = self._key(address)
        return 0.0 if key is None else self._passwords.take(key, now_s)

    def _key(self, address: str) -> str | None:
        """Return what an address is counted under; None if it is exempt."""
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address):
            found = found.ipv4_mapped or found
        if any(found in network for network in self._exempt):
            return None
        if isinstance(found, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False))
        return str(found)
