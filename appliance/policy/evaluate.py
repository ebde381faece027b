"""The decision about one request: policy, identity, request and moment in, certificates or a denial out.

Pure: the authority calls it inside the ledger's transaction, and whoever replays the ledger calls it again
and must get the same. Hence the version number: a change of outcome for any input raises it.

Default deny. Each principal rests on exactly one grant, and alternative grants are never merged, so that
removing a grant never gives anyone more. The request only narrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from appliance.identity.identity import Identity
from appliance.policy.asking import Asking
from appliance.policy.circumstances import PLAIN, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.opening import Opening
from appliance.policy.refusing import list_allowed, say_missing
from appliance.policy.tables import HostGroup
from appliance.policy.terms import BACKDATE_S, MAX_AHEAD_S, Bounds, Settling, Terms
from appliance.policy.zones import format_moment
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.content import MAX_PRINCIPALS

EVALUATOR: Final = 2
# Documents that 1 knew have no hours and no requirements, and of these 2 decides the same.
REPLAYABLE: Final = frozenset({1, EVALUATOR})
# Of a request for what no grant of the requester's gives, whatever the hour.
DEFAULT_DENY: Final = "default-deny"
DEFAULT_HOST_TTL_S: Final = 30 * 86_400
MAX_OBSTACLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A registered host; ``seq`` is the entry that registered it."""

    name: str
    customer: str
    names: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    seq: int

    def is_in(self, group: HostGroup) -> bool:
        """Say whether the host belongs to the group: by the group's list, or by all labels it asks for."""
        if self.customer != group.customer:
            return False
        if group.match is None:
            return self.name in group.hosts
        return group.match.items() <= dict(self.labels).items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All of one certificate but its key, serial, nonce and CA key. Principals are sorted.

    ``verify``: sshd is to insist that a hardware key verified its user. ``bounds`` are those of the grants'
    schedule and days, where they have any.
    """

    ca: str
    customer: str
    grants: tuple[FiledGrant, ...] = ()
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    source: tuple[str, ...] | None = None
    force_command: str | None = None
    extensions: tuple[str, ...] = ()
    verify: bool = False
    bounds: Bounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why not: the rule that refused, words for the caller, and what his own grants would give at that time.

    ``next_s`` is the next moment at which a grant that is shut opens, where one does.
    """

    rule: str
    detail: str
    allowed: tuple[str, ...] = ()
    next_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sought:
    """What a request names: each place with its host groups, all host groups (None is any), and logins."""

    places: tuple[tuple[str, frozenset[str]], ...]
    groups: frozenset[str] | None
    logins: frozenset[str]


class _Offer(NamedTuple):
    """One principal by one grant, and how long it is open."""

    login: str
    group: HostGroup
    principal: str
    filed: FiledGrant
    opening: Opening


class _Chosen(NamedTuple):
    """One principal on the terms of the grant that was chosen for it."""

    customer: str
    principal: str
    terms: Terms


def evaluate_user(
    policy: Policy,
    hosts: Mapping[str, Host],
    identity: Identity,
    request: UserRequest,
    circumstances: Circumstances = PLAIN,
    *,
    now_s: int,
    max_ttl_s: int,
) -> tuple[Profile, ...] | Denial:
    """Decide a request for user certificates.

    1. The grants that cover the identity.
    2. Their principals, as far as the request asks for them.
    3. The terms of each grant: what its requirements, its hours and the request's narrowing leave of it; one
       of which nothing is left is not satisfied.
    4. For each principal the satisfied grant that lasts longest, the first of the document among equals.
    5. Whatever the request named must be there: else a denial, never part of it in silence.
    6. Principals share a certificate only if everything else about it is equal.
    """
    asking = Asking(
        identity=identity, request=request, circumstances=circumstances, now_s=now_s, max_ttl_s=max_ttl_s
    )
    if asking.start_s > now_s + MAX_AHEAD_S and policy.holders.covers_any(identity):
        latest = format_moment(now_s + MAX_AHEAD_S)
        return Denial(rule="start", detail=f"a certificate begins within a day: at {latest} at the latest")
    sought = _seek(policy, hosts, request)
    settling = Settling(policy, asking)
    chosen, refused = _choose(policy, sought, asking, settling)
    missing = _find_missing(chosen, sought)
    if missing is not None or not chosen:
        return _deny(policy, asking, missing, refused, settling)
    return tuple(_merge(policy, _settle(chosen, settling)))


def evaluate_host(
    policy: Policy, host: Host, request: HostRequest, *, now_s: int, max_ttl_s: int
) -> Profile | Denial:
    """Decide what a registered host's certificate says; who may ask for it has been decided before."""
    customer = policy.customers.get(host.customer)
    if customer is None:
        return Denial(
            rule="customer", detail=f"{host.name}: its customer {host.customer} is not in the policy"
        )
    ttl_s = min(request.ttl_s or DEFAULT_HOST_TTL_S, DEFAULT_HOST_TTL_S, max_ttl_s)
    return Profile(
        ca=customer.host_ca,
        customer=customer.name,
        principals=host.names,
        valid_after=now_s - BACKDATE_S,
        valid_before=now_s + ttl_s,
    )


def relied_groups(grants: Iterable[FiledGrant], identity: Identity) -> tuple[str, ...]:
    """Return the provider's groups that these grants rest on: the ones that go on record."""
    named = {group for filed in grants for group in filed.grant.who.groups if ":" in group}
    return tuple(sorted(named & identity.groups))


def _seek(policy: Policy, hosts: Mapping[str, Host], request: UserRequest) -> _Sought:
    """Find the host groups that a request asks for; one that names nothing asks for everything."""
    places = [(f"host {name!r}", _groups_of(policy, hosts.get(name))) for name in request.hosts]
    places += [(f"host group {name!r}", frozenset({name})) for name in request.host_groups]
    groups = frozenset[str]().union(*(names for _, names in places)) if places else None
    return _Sought(places=tuple(places), groups=groups, logins=frozenset(request.logins))


def _groups_of(policy: Policy, host: Host | None) -> frozenset[str]:
    return frozenset() if host is None else frozenset(each.name for each in policy.fleets.of_host(host))


def _choose(
    policy: Policy, sought: _Sought, asking: Asking, settling: Settling
) -> tuple[list[_Offer], list[FiledGrant]]:
    """Choose an offer for each principal of each CA: the longest, the first among equals.

    Also return the grants that would have offered something but for an obstacle.
    """
    best: dict[tuple[str, str], _Offer] = {}
    refused: list[FiledGrant] = []
    for filed in _held(policy, sought, asking):
        principals = _asked(policy, sought, asking.request, filed)
        opening = settling.open(filed) if principals else None
        if opening is None:
            refused += [filed] if principals else []
            continue
        for group, login in principals:
            key = (group.customer, group.principal(login))
            known = best.get(key)
            if known is None or opening.not_after_s > known.opening.not_after_s:
                best[key] = _Offer(login, group, key[1], filed, opening)
    return list(best.values()), refused


def _asked(
    policy: Policy, sought: _Sought, request: UserRequest, filed: FiledGrant
) -> list[tuple[HostGroup, str]]:
    """Return the host groups and logins of a grant that the request asks for."""
    grant = filed.grant
    logins: Sequence[str] = grant.logins
    if sought.logins:
        if sought.logins.isdisjoint(logins):
            return []
        logins = [name for name in logins if name in sought.logins]
    groups = [policy.host_groups[name] for name in grant.on if sought.groups is None or name in sought.groups]
    if request.customer is not None:
        groups = [group for group in groups if group.customer == request.customer]
    return [(group, login) for group in groups for login in logins]


def _settle(offers: Iterable[_Offer], settling: Settling) -> list[_Chosen]:
    """Settle the terms of what was chosen, once for each grant."""
    terms: dict[int, Terms] = {}
    for offer in offers:
        if id(offer.filed) not in terms:
            terms[id(offer.filed)] = settling.settle(offer.filed, offer.opening)
    return [_Chosen(offer.group.customer, offer.principal, terms[id(offer.filed)]) for offer in offers]


def _held(policy: Policy, sought: _Sought, asking: Asking) -> Iterator[FiledGrant]:
    """Yield the grants that cover the identity, are on a place that is sought and have the name asked for."""
    identity, name = asking.identity, asking.request.grant
    if name is not None:
        places = policy.holders.held_named(identity, name)
    elif sought.groups is None:
        places = policy.holders.held_by(identity)
    else:
        places = policy.holders.held_on(identity, sought.groups)
    return (policy.grants[place] for place in places)


def _find_missing(chosen: Iterable[_Offer], sought: _Sought) -> str | None:
    """Name the first thing that the request named and that no chosen principal gives."""
    given: dict[str, set[str]] = {}
    for offer in chosen:
        given.setdefault(offer.group.name, set()).add(offer.login)
    for place, groups in sought.places or (("", frozenset(given)),):
        logins = set[str]().union(*(given.get(name, ()) for name in groups))
        for login in sorted(sought.logins):
            if login not in logins:
                return f"login {login!r}{' on ' if place else ''}{place}"
        if not logins:
            return place or None
    return None


def _deny(
    policy: Policy, asking: Asking, missing: str | None, refused: Sequence[FiledGrant], settling: Settling
) -> Denial:
    held = policy.holders.held_by(asking.identity)
    if not held:
        return Denial(rule=DEFAULT_DENY, detail=f"no grant covers {asking.identity}")
    allowed = list_allowed(policy, held, settling)
    obstacles = [each for filed in refused for each in settling.find_obstacles(filed)]
    if not obstacles:
        detail = say_missing(policy, asking.identity, asking.request, missing)
        return Denial(rule=DEFAULT_DENY, detail=detail, allowed=allowed)
    details = list(dict.fromkeys(obstacle.detail for obstacle in obstacles))
    return Denial(
        rule=obstacles[0].rule,
        detail="; ".join(details[:MAX_OBSTACLES]),
        allowed=allowed,
        next_s=min((each.next_s for each in obstacles if each.next_s is not None), default=None),
    )


def _merge(policy: Policy, offers: Iterable[_Chosen]) -> Iterator[Profile]:
    """Put principals into as few certificates as their differences allow, in an order that only they fix."""
    described = ((_traits(offer), offer.principal, offer.terms) for offer in offers)
    ordered = sorted(described, key=itemgetter(0, 1))
    for (customer, *_), group in groupby(ordered, itemgetter(0)):
        members = [(principal, terms) for _, principal, terms in group]
        for start in range(0, len(members), MAX_PRINCIPALS):
            part = members[start : start + MAX_PRINCIPALS]
            terms = part[0][1]
            grant = terms.filed.grant
            yield Profile(
                ca=policy.customers[customer].user_ca,
                customer=customer,
                grants=_distinct(each.filed for _, each in part),
                principals=tuple(principal for principal, _ in part),
                valid_after=terms.valid_after,
                valid_before=terms.valid_before,
                source=terms.source,
                force_command=grant.force_command,
                extensions=terms.extensions,
                verify=grant.require.verify,
                bounds=terms.bounds,
            )


def _traits(
    offer: _Chosen,
) -> tuple[str, int, tuple[str, ...], str, tuple[str, ...], int, bool, tuple[int, ...]]:
    """Return all about an offer that principals of one certificate share, as values that can be sorted."""
    terms, grant = offer.terms, offer.terms.filed.grant
    return (
        offer.customer,
        terms.valid_before,
        terms.source or (),
        grant.force_command or "",
        terms.extensions,
        terms.valid_after,
        grant.require.verify,
        () if terms.bounds is None else terms.bounds.sort_key(),
    )


def _distinct(grants: Iterable[FiledGrant]) -> tuple[FiledGrant, ...]:
    by_name = {(filed.file, filed.grant.name): filed for filed in grants}
    return tuple(by_name[key] for key in sorted(by_name))
