"""The decision about one request: policy, identity, request and moment in, certificates or a denial out.

Pure: the authority calls it inside the ledger's transaction, and whoever replays the ledger calls it again
and must get the same. Hence the version number: a change of outcome for any input raises it.

Default deny. Each principal rests on exactly one grant, and alternative grants are never merged, so that
removing a grant never gives anyone more. The request only narrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from appliance.identity.identity import Identity
from appliance.networks import intersect_networks
from appliance.policy.circumstances import PLAIN, Circumstances
from appliance.policy.document import PERMITS, FiledGrant, HostGroup, Policy
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.content import MAX_PRINCIPALS

EVALUATOR: Final = 1

# Hosts whose clocks are behind by less than this still take a certificate that was just made.
BACKDATE_S: Final = 60
DEFAULT_HOST_TTL_S: Final = 30 * 86_400
MAX_ALLOWED: Final = 20


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
    """All of one certificate but its key, serial, nonce and CA key. Principals are sorted."""

    ca: str
    customer: str
    grants: tuple[FiledGrant, ...] = ()
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    source: tuple[str, ...] | None = None
    force_command: str | None = None
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why not: the rule that refused, words for the caller, and what his own grants would allow."""

    rule: str
    detail: str
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """One principal on one grant, as far as the request narrows it."""

    login: str
    group: HostGroup
    principal: str
    filed: FiledGrant
    valid_before: int
    source: tuple[str, ...] | None
    extensions: tuple[str, ...]


def evaluate_user(
    policy: Policy,
    hosts: Mapping[str, Host],
    identity: Identity,
    request: UserRequest,
    circumstances: Circumstances = PLAIN,  # noqa: ARG001 - nothing of a policy depends on them yet
    *,
    now_s: int,
    max_ttl_s: int,
) -> tuple[Profile, ...] | Denial:
    """Decide a request for user certificates.

    1. The grants that cover the identity.
    2. Their principals, as far as the request asks for them.
    3. What the request's narrowing leaves of each; a grant of which nothing is left is not satisfied.
    4. For each principal the satisfied grant that lasts longest, the first of the document among equals.
    5. Whatever the request named must be there: else a denial, never part of it in silence.
    6. Principals share a certificate only if everything else about it is equal.
    """
    held = policy.held_by(identity)
    if not held:
        return Denial(rule="default-deny", detail=f"no grant covers {identity}")
    asked = [
        (filed, group, login)
        for filed, group, login in _reach(policy, held)
        if _asks(request, filed, group, login, hosts)
    ]
    offers, refusals = _narrow(asked, request, now_s=now_s, max_ttl_s=max_ttl_s)
    chosen = _choose(offers)
    missing = _find_missing(chosen, request, hosts)
    if missing is not None or not chosen:
        return _deny(policy, held, missing or "nothing that was asked for", refusals)
    return tuple(_merge(policy, chosen, now_s))


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


def _reach(policy: Policy, held: Iterable[FiledGrant]) -> Iterator[tuple[FiledGrant, HostGroup, str]]:
    for filed in held:
        for name in filed.grant.on:
            for login in filed.grant.logins:
                yield filed, policy.host_groups[name], login


def _asks(
    request: UserRequest, filed: FiledGrant, group: HostGroup, login: str, hosts: Mapping[str, Host]
) -> bool:
    """Say whether the request asks for this; one that names nothing asks for everything."""
    if request.grant is not None and request.grant != filed.grant.name:
        return False
    if request.customer is not None and request.customer != group.customer:
        return False
    if request.logins and login not in request.logins:
        return False
    if not (request.hosts or request.host_groups):
        return True
    return group.name in request.host_groups or any(_is_host_in(hosts, name, group) for name in request.hosts)


def _is_host_in(hosts: Mapping[str, Host], name: str, group: HostGroup) -> bool:
    host = hosts.get(name)
    return host is not None and host.is_in(group)


def _narrow(
    asked: Iterable[tuple[FiledGrant, HostGroup, str]], request: UserRequest, *, now_s: int, max_ttl_s: int
) -> tuple[list[_Offer], list[str]]:
    """Return what the request leaves of each grant, and the words for those of which it leaves nothing."""
    offers, refusals = [], []
    for filed, group, login in asked:
        grant = filed.grant
        too_much = [name for name in request.permit or () if name not in grant.permit]
        source = _intersect(grant.source, request.source)
        if too_much:
            refusals.append(f"grant {grant.name!r} does not permit {', '.join(too_much)}")
        elif source == ():
            refusals.append(f"grant {grant.name!r} allows only the sources {', '.join(grant.source or ())}")
        else:
            permit = grant.permit if request.permit is None else request.permit
            ttl_s = min(grant.ttl_s, request.ttl_s or grant.ttl_s, max_ttl_s)
            offers.append(
                _Offer(
                    login=login,
                    group=group,
                    principal=group.principal(login),
                    filed=filed,
                    valid_before=now_s + ttl_s,
                    source=source,
                    extensions=tuple(sorted(PERMITS[name] for name in permit)),
                )
            )
    return offers, sorted(set(refusals))


def _intersect(granted: tuple[str, ...] | None, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Intersect two source sets where none means anywhere; an empty result is nowhere."""
    if granted is None or asked is None:
        return asked if granted is None else granted
    return intersect_networks(granted, asked)


def _choose(offers: Iterable[_Offer]) -> list[_Offer]:
    """Choose one offer for each principal of each CA: the longest, the first among equals."""
    best: dict[tuple[str, str], _Offer] = {}
    for offer in offers:
        key = (offer.group.customer, offer.principal)
        if key not in best or offer.valid_before > best[key].valid_before:
            best[key] = offer
    return list(best.values())


def _find_missing(chosen: Iterable[_Offer], request: UserRequest, hosts: Mapping[str, Host]) -> str | None:
    """Name the first thing that the request named and that no chosen principal gives."""
    offers = list(chosen)
    places = [(f"host {name!r}", _by_host(offers, hosts, name)) for name in request.hosts]
    places += [
        (f"host group {name!r}", [offer for offer in offers if offer.group.name == name])
        for name in request.host_groups
    ]
    for place, there in places or [("", offers)]:
        logins = {offer.login for offer in there}
        for login in request.logins:
            if login not in logins:
                return f"login {login!r}{' on ' if place else ''}{place}"
        if not there:
            return place or None
    return None


def _by_host(offers: Iterable[_Offer], hosts: Mapping[str, Host], name: str) -> list[_Offer]:
    return [offer for offer in offers if _is_host_in(hosts, name, offer.group)]


def _deny(policy: Policy, held: Iterable[FiledGrant], missing: str, refusals: list[str]) -> Denial:
    allowed = sorted({f"{login}@{group.name}" for _, group, login in _reach(policy, held)})
    if refusals:
        return Denial(rule="narrowing", detail="; ".join(refusals[:5]), allowed=tuple(allowed[:MAX_ALLOWED]))
    return Denial(
        rule="default-deny",
        detail=f"no grant of yours gives {missing}",
        allowed=tuple(allowed[:MAX_ALLOWED]),
    )


def _merge(policy: Policy, offers: list[_Offer], now_s: int) -> Iterator[Profile]:
    """Put principals into as few certificates as their differences allow, in an order that only they fix."""

    def traits(offer: _Offer) -> tuple[str, int, tuple[str, ...], str, tuple[str, ...]]:
        grant = offer.filed.grant
        customer = offer.group.customer
        return customer, offer.valid_before, offer.source or (), grant.force_command or "", offer.extensions

    ordered = sorted(offers, key=lambda offer: (traits(offer), offer.principal))
    for (customer, valid_before, *_), group in groupby(ordered, traits):
        members = list(group)
        for start in range(0, len(members), MAX_PRINCIPALS):
            part = members[start : start + MAX_PRINCIPALS]
            yield Profile(
                ca=policy.customers[customer].user_ca,
                customer=customer,
                grants=_distinct(offer.filed for offer in part),
                principals=tuple(offer.principal for offer in part),
                valid_after=now_s - BACKDATE_S,
                valid_before=valid_before,
                source=part[0].source,
                force_command=part[0].filed.grant.force_command,
                extensions=part[0].extensions,
            )


def _distinct(grants: Iterable[FiledGrant]) -> tuple[FiledGrant, ...]:
    by_name = {(filed.file, filed.grant.name): filed for filed in grants}
    return tuple(by_name[key] for key in sorted(by_name))
