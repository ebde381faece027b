"""What a question about access is held against: the policy, the hosts and the CAs of its moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.errors import Refusal
from appliance.index.fleet import Registered, groups_with
from appliance.index.prefix import Prefix
from appliance.index.queries import Snapshot
from appliance.index.records import CaKeyRecord, CertificateRecord
from appliance.policy.document import Policy
from appliance.policy.roles import ALL, Customers, is_seen
from appliance.policy.tables import HostGroup

# A row names so many of the hosts that it is about; how many there are it always says.
MAX_HOSTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The host groups that take a principal, and their hosts at the moment.

    ``hosts`` are the first :data:`MAX_HOSTS` of ``host_count``, or the one that was asked for.
    """

    host_groups: tuple[str, ...]
    hosts: tuple[str, ...]
    host_count: int


@dataclass(slots=True)
class Scene:
    """A moment. ``groups`` are the host groups that the question is about; None is all, and none too."""

    snapshot: Snapshot
    prefix: Prefix
    policy_seq: int | None
    policy: Policy
    host: str | None
    groups: tuple[HostGroup, ...] | None
    _places: dict[tuple[str, ...], Place] = field(default_factory=dict)
    _certificate: CertificateRecord | None = None
    _ca_keys: list[CaKeyRecord] | None = None

    def certificate(self, seq: int) -> CertificateRecord:
        """Return a certificate as it was; the last one is kept, since each of its principals is a row."""
        if self._certificate is None or self._certificate.seq != seq:
            self._certificate = self.snapshot.certificate_at(seq, self.prefix.upto)
        if self._certificate is None:
            raise LookupError(f"entry {seq} is the intent of no certificate")
        return self._certificate

    def takers(self, host_group: str | None, customer: str | None) -> tuple[HostGroup, ...]:
        """Return the groups that take a principal: the one it names, or all that take bare logins."""
        if host_group is None:
            groups = self.policy.host_groups.values()
            return tuple(each for each in groups if each.customer == customer and each.principals == "login")
        group = self.policy.host_groups.get(host_group)
        taken = group is not None and group.customer == customer and group.principals == "group"
        return (group,) if taken and group is not None else ()

    def place(self, groups: Sequence[HostGroup]) -> Place:
        """Return where a principal reaches that these groups take."""
        names = tuple(group.name for group in groups)
        if names not in self._places:
            self._places[names] = self._find(names, groups)
        return self._places[names]

    def key_phase(self, ca: str, ca_key: str) -> str:
        """Return the phase of a CA's key; ``halted`` before any other."""
        for key in self.ca_keys():
            if (key.ca, key.fingerprint) == (ca, ca_key):
                return _phase(key)
        return "none"

    def signing_phase(self, ca: str, customer: str) -> str:
        """Return ``signing`` if a customer's user CA has a key that signs, else ``halted`` or ``none``."""
        for key in self.ca_keys():
            if key.phase == "signing" and (key.ca, key.type, key.customer) == (ca, "user", customer):
                return _phase(key)
        return "none"

    def ca_keys(self) -> list[CaKeyRecord]:
        """Return the keys of all CAs in their phases; read once."""
        if self._ca_keys is None:
            self._ca_keys = self.snapshot.ca_keys(upto=self.prefix.upto)
        return self._ca_keys

    def _find(self, names: tuple[str, ...], groups: Sequence[HostGroup]) -> Place:
        if self.host is not None:
            return Place(host_groups=names, hosts=(self.host,), host_count=1)
        fleet = self.snapshot.fleet()
        members = [fleet.members(self.policy_seq or 0, group, self.prefix.upto) for group in groups]
        hosts = (
            members[0] if len(members) == 1 else tuple(sorted({name for each in members for name in each}))
        )
        return Place(host_groups=names, hosts=hosts[:MAX_HOSTS], host_count=len(hosts))


def open_scene(
    snapshot: Snapshot,
    prefix: Prefix,
    *,
    host: str | None,
    host_group: str | None,
    customers: Customers = ALL,
) -> Scene:
    """Return the scene of a moment, for a question about a host, a host group, both or neither.

    Raises:
        Refusal: ``not-found``; there was no such host or host group, or it was none of these customers'.
    """
    policy_seq = snapshot.policy_seq(prefix.upto)
    policy = snapshot.policy(prefix.upto) or Policy()
    groups: tuple[HostGroup, ...] | None = None
    if host_group is not None:
        found = policy.host_groups.get(host_group)
        if found is None or not is_seen(found.customer, customers):
            raise Refusal("not-found", f"the host group {host_group} is not in the policy of that moment")
        groups = (found,)
    if host is not None:
        record = snapshot.host(host, prefix.upto)
        if record is None or not is_seen(record.customer, customers):
            raise Refusal("not-found", f"the host {host} is not registered, or was not at that moment")
        labels = frozenset(record.labels.items())
        registered = Registered(name=record.name, customer=record.customer, labels=labels)
        of_host = groups_with(policy, registered)
        groups = of_host if groups is None else tuple(group for group in groups if group in of_host)
    return Scene(
        snapshot=snapshot, prefix=prefix, policy_seq=policy_seq, policy=policy, host=host, groups=groups
    )


def _phase(key: CaKeyRecord) -> str:
    return "halted" if key.halted else key.phase
