"""Who holds which grants, indexed: a decision looks at the grants of one identity and not at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.identity.identity import Identity

if TYPE_CHECKING:
    from appliance.policy.document import Grant, Group, Limit

# Places in the policy's list of grants, by a name.
_Places = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The places of grants, by what their ``who`` names. ``members`` are those of the document's groups."""

    users: _Places = field(default_factory=dict)
    services: _Places = field(default_factory=dict)
    members: _Places = field(default_factory=dict)
    provider_groups: _Places = field(default_factory=dict)

    def held_by(self, identity: Identity) -> list[int]:
        """Return the places of the grants that cover an identity, in the order of the document."""
        name = str(identity)
        named = self.services if identity.kind == "service" else self.users
        found = {*named.get(name, ()), *self.members.get(name, ())}
        for group in identity.groups:
            found.update(self.provider_groups.get(group, ()))
        return sorted(found)


def index_holders(grants: Iterable[Grant | Limit], groups: Mapping[str, Group]) -> Holders:
    """Index what a policy grants or limits; a group that the document does not have holds nothing."""
    users: dict[str, list[int]] = {}
    services: dict[str, list[int]] = {}
    members: dict[str, list[int]] = {}
    provider_groups: dict[str, list[int]] = {}
    for place, grant in enumerate(grants):
        for name in grant.who.users:
            users.setdefault(name, []).append(place)
        for name in grant.who.services:
            services.setdefault(name, []).append(place)
        for group in grant.who.groups:
            if ":" in group:  # a provider's: whoever is in it says so himself, by way of his provider
                provider_groups.setdefault(group, []).append(place)
                continue
            for name in groups[group].members if group in groups else ():
                members.setdefault(name, []).append(place)
    return Holders(users=users, services=services, members=members, provider_groups=provider_groups)
