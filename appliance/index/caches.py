"""What a reader of the index keeps between questions: what is computed once and then never changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from appliance.index.fleet import Fleet, Registered
from appliance.index.reach import Reach
from appliance.index.records import CaKeyRecord
from appliance.policy.document import Policy

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# A policy of a thousand grants takes some megabytes, a fleet of ten thousand hosts as many; there is one
# fleet, until it changes.
_POLICIES: Final = 16
_FLEETS: Final = 2
_HOSTS: Final = 100_000


class Recent(Generic[K, V]):
    """The values that were used last."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made if it is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        """Keep nothing."""
        self._values.clear()


@dataclass(slots=True)
class Caches:
    """All that is kept, each by the entries that it follows from."""

    policies: Recent[int, Policy] = field(default_factory=lambda: Recent(_POLICIES))
    reaches: Recent[int, Reach] = field(default_factory=lambda: Recent(_POLICIES))
    hosts: Recent[int, Registered] = field(default_factory=lambda: Recent(_HOSTS))
    fleets: Recent[tuple[int, int], Fleet] = field(default_factory=lambda: Recent(_FLEETS))
    ca_keys: Recent[int, tuple[CaKeyRecord, ...]] = field(default_factory=lambda: Recent(_POLICIES))

    def clear(self) -> None:
        """Keep nothing: the index is another one."""
        for each in (self.policies, self.reaches, self.hosts, self.fleets, self.ca_keys):
            each.clear()
