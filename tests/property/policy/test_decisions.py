"""Decisions: default deny, one grant for each principal, and nothing that is taken away gives anyone more."""

from __future__ import annotations

import ipaddress
from copy import copy
from dataclasses import replace
from datetime import date
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.durations import format_duration, parse_duration
from appliance.identity.identity import Identity
from appliance.networks import intersect_networks, parse_networks
from appliance.policy.circumstances import PLAIN, Away, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Denial, Host, Profile, evaluate_user
from appliance.policy.requirements import Requirements
from appliance.policy.schedules import Schedule
from appliance.policy.tables import Customer, Grant, Group, HostGroup, Who
from appliance.requests import UserRequest
from support.ssh_examples import public_key

NOW_S = 1_764_000_000
MAX_TTL_S = 31 * 86_400
KEY = public_key("ed25519", 1)
GROUPS = ("web", "db", "app")
LOGINS = ("root", "deploy", "postgres")
PEOPLE = ("mtls:alice", "mtls:bob")
SOURCES = (("10.0.0.0/8",), ("10.1.0.0/16", "192.0.2.0/24"), ("192.0.2.0/25",))
PERMITS = ("pty", "port-forwarding")
# 2025-11-24, a Monday, at 16:00 in UTC: half an hour before one shuts, in the middle of the other.
SCHEDULES = {
    name: Schedule(name=name, timezone="UTC", windows=(window,))  # type: ignore[arg-type]
    for name, window in (("office", "mon-fri 08:00-16:30"), ("night", "mon 15:30-06:00"))
}
PORTAL = Identity(provider="mtls", subject="portal", kind="service", authenticated_ms=0)
HOSTS = {
    name: Host(name=name, customer="acme", names=(name,), labels=(("role", name),), seq=1) for name in GROUPS
}


def some(values: tuple[str, ...], *, least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, unique=True).map(tuple)


grants = st.fixed_dictionaries(
    {
        "who": st.builds(Who, users=some(PEOPLE, least=0), groups=some(("staff",), least=0)),
        "on": some(GROUPS),
        "as": some(LOGINS),
        "ttl": st.sampled_from(["60s", "1h", "8h"]),
        "source": st.none() | st.sampled_from([list(source) for source in SOURCES]),
        "force_command": st.none() | st.just("true"),
        "permit": some(PERMITS, least=0),
        "when": st.none() | st.sampled_from(["office", "night"]),
        "from": st.none() | st.sampled_from(["2025-11-24", "2025-11-25"]),
        "until": st.none() | st.sampled_from(["2025-11-24", "2026-11-24"]),
        "require": st.none() | st.sampled_from([{"reason": True}, {"mfa": True}, {"max_auth_age": "1h"}]),
        "delegates": some(("mtls:portal",), least=0),
    }
)


def build_grant(number: int, fields: dict[str, Any]) -> FiledGrant:
    present = {name: value for name, value in fields.items() if value is not None}
    return FiledGrant(file="policy.toml", grant=Grant(name=f"g{number}", **present))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    drawn = draw(st.lists(grants, max_size=5))
    return Policy(
        customers={"acme": Customer(name="acme", user_ca="users", host_ca="hosts")},
        host_groups={name: HostGroup(name=name, customer="acme", match={"role": name}) for name in GROUPS},
        groups={"staff": Group(name="staff", members=draw(some(PEOPLE)))},
        schedules=SCHEDULES,
        grants=tuple(build_grant(number, fields) for number, fields in enumerate(drawn)),
    )


requests = st.builds(
    UserRequest,
    public_key=st.just(KEY),
    hosts=some(GROUPS, least=0),
    host_groups=some(GROUPS, least=0),
    logins=some(LOGINS, least=0),
    ttl_s=st.none() | st.sampled_from([30, 600, 86_400]),
    source=st.none() | st.sampled_from(SOURCES),
    permit=st.none() | some(PERMITS, least=0),
    reason=st.none() | st.just("ticket 7"),
)
circumstances = st.builds(
    Circumstances,
    leaves=st.sampled_from(
        [(), (Away(starts_s=NOW_S + 600, ends_s=NOW_S + 900),), (Away(starts_s=NOW_S - 9, ends_s=NOW_S + 9),)]
    ),
    delegate=st.none() | st.just(PORTAL),
)


def covers(policy: Policy, grant: Grant, identity: Identity) -> bool:
    """Say whether a grant's ``who`` covers an identity, by the words of the document and without an index."""
    name = str(identity)
    if name in (grant.who.services if identity.kind == "service" else grant.who.users):
        return True
    return any(
        group in identity.groups if ":" in group else name in policy.groups[group].members
        for group in grant.who.groups
    )


def decide(
    policy: Policy, request: UserRequest, subject: str = "alice", around: Circumstances = PLAIN
) -> tuple[Profile, ...]:
    identity = Identity(
        provider="mtls", subject=subject, kind="user", mfa=True, authenticated_ms=(NOW_S - 600) * 1000
    )
    outcome = evaluate_user(policy, HOSTS, identity, request, around, now_s=NOW_S, max_ttl_s=MAX_TTL_S)
    return () if isinstance(outcome, Denial) else outcome


TIGHTER: tuple[dict[str, Any], ...] = (
    {"ttl_s": 60},
    {"when": "night"},
    {"last": date(2025, 11, 24)},
    {"first": date(2025, 11, 25)},
    {"source": ("192.0.2.0/25",)},
    {"permit": ()},
    {"force_command": "true"},
    {"delegates": ()},
    {"require": Requirements(reason=True)},
    {"require": Requirements(mfa=True, reason=True, approvals=20)},
    {"require": Requirements(key_types=("ssh-rsa",))},
    {"require": Requirements(approvals=1, approvers=("staff",))},
    {"on": ("web",)},
    {"logins": ("root",)},
)


@given(policies(), requests, circumstances, st.integers(0, 4), st.sampled_from(TIGHTER))
@settings(max_examples=150)
def test_tighter_grant_gives_nobody_more(
    policy: Policy, request: UserRequest, around: Circumstances, number: int, tighter: dict[str, Any]
) -> None:
    tight = [
        replace(filed, grant=tighten(filed.grant, tighter)) if place == number else filed
        for place, filed in enumerate(policy.grants)
    ]
    after = decide(replace(policy, grants=tuple(tight)), request, around=around)
    assert allows_no_more(after, obtain(policy, request, around))


def tighten(grant: Grant, tighter: dict[str, Any]) -> Grant:
    """Return a grant with a limit more; one that it has already stays, where the new one may be wider."""
    name, value = next(iter(tighter.items()))
    before = getattr(grant, name)
    if name == "source" and before is not None:
        value = intersect_networks(before, value)
        return alter(grant, source=value) if value else grant
    if name in {"on", "logins"} and value[0] not in before:
        return grant
    if name == "require" and before != Requirements():
        return grant
    if name in {"when", "first", "last", "force_command"} and before is not None:
        return grant
    return alter(grant, **{name: value})


def alter(grant: Grant, **changes: Any) -> Grant:
    """Return a grant with other values in its fields, which are not checked again."""
    other = copy(grant)
    for name, value in changes.items():
        object.__setattr__(other, name, value)
    return other


@given(policies(), requests, circumstances)
def test_leave_and_asking_for_another_give_nobody_more(
    policy: Policy, request: UserRequest, around: Circumstances
) -> None:
    assert allows_no_more(decide(policy, request, around=around), obtain(policy, request))


def is_within(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> bool:
    if other is None:
        return True
    if one is None:
        return False
    wider = [ipaddress.ip_network(block) for block in other]
    return all(any(ipaddress.ip_network(block).subnet_of(w) for w in wider) for block in one)  # type: ignore[arg-type]


def obtain(policy: Policy, request: UserRequest, around: Circumstances = PLAIN) -> tuple[Profile, ...]:
    """Return what one grant after another gives of all that it has, narrowed as the request says."""
    everything = replace(request, hosts=(), host_groups=(), logins=())
    names = [filed.grant.name for filed in policy.grants]
    return tuple(
        profile
        for name in names
        for profile in decide(policy, replace(everything, grant=name), around=around)
    )


def allows_no_more(tight: tuple[Profile, ...], loose: tuple[Profile, ...]) -> bool:
    """Say whether for every principal of one there is a certificate of the other that allows all of it."""
    return all(
        any(principal in other.principals and is_no_wider(profile, other) for other in loose)
        for profile in tight
        for principal in profile.principals
    )


def is_no_wider(one: Profile, other: Profile) -> bool:
    """Say whether a certificate lasts no longer, and has each limit of another; principals left out."""
    return (
        one.valid_before <= other.valid_before
        and is_within(one.source, other.source)
        and set(one.extensions) <= set(other.extensions)
        and other.force_command in {None, one.force_command}
        and one.verify >= other.verify
    )


@given(policies(), requests)
def test_each_principal_rests_on_one_grant_that_covers_it_with_all_its_constraints(
    policy: Policy, request: UserRequest
) -> None:
    identity = Identity(provider="mtls", subject="alice", kind="user", authenticated_ms=0)
    seen: set[str] = set()
    for profile in decide(policy, request):
        assert not seen & set(profile.principals)
        seen |= set(profile.principals)
        for principal in profile.principals:
            login, _, group = principal.partition("@")
            assert not request.logins or login in request.logins
            bases = [
                filed.grant
                for filed in profile.grants
                if covers(policy, filed.grant, identity)
                and login in filed.grant.logins
                and group in filed.grant.on
                and filed.grant.force_command == profile.force_command
                and is_within(profile.source, filed.grant.source)
                and profile.valid_before <= NOW_S + filed.grant.ttl_s
                and {name.removeprefix("permit-") for name in profile.extensions} <= set(filed.grant.permit)
            ]
            assert bases, (profile, principal)


@given(policies(), requests, st.integers(0, 4))
def test_policy_without_a_grant_gives_nobody_more(policy: Policy, request: UserRequest, number: int) -> None:
    fewer = replace(policy, grants=policy.grants[:number] + policy.grants[number + 1 :])
    assert allows_no_more(decide(fewer, request), obtain(policy, request))


@given(policies(), requests)
def test_group_without_a_member_gives_nobody_more(policy: Policy, request: UserRequest) -> None:
    empty = replace(policy, groups={"staff": Group(name="staff", members=("mtls:nobody",))})
    assert allows_no_more(decide(empty, request), obtain(policy, request))


@given(policies(), requests)
def test_request_that_narrows_gets_no_more_than_one_that_does_not(
    policy: Policy, request: UserRequest
) -> None:
    everything = obtain(policy, UserRequest(public_key=KEY, reason=request.reason))
    for profile in decide(policy, request):
        assert is_within(profile.source, request.source)
        if request.ttl_s is not None:
            assert profile.valid_before <= NOW_S + request.ttl_s
    assert allows_no_more(decide(policy, request), everything)


@given(policies(), requests)
def test_whoever_is_in_no_grant_gets_nothing(policy: Policy, request: UserRequest) -> None:
    assert decide(policy, request, "mallory") == ()


blocks = st.builds(
    lambda address, length: str(ipaddress.ip_network((address << 24, length), strict=False)),
    st.integers(0, 255),
    st.integers(1, 8),
)
sets = st.lists(blocks, min_size=1, max_size=4)


@given(sets, sets)
@settings(max_examples=200)
def test_intersection_of_sources_is_what_both_hold(left: list[str], right: list[str]) -> None:
    one, other = parse_networks(left), parse_networks(right)
    common = intersect_networks(one, other)
    assert parse_networks(one) == one

    def holds(networks: tuple[str, ...], octet: int) -> bool:
        address = ipaddress.ip_address((octet << 24) + 77)
        return any(address in ipaddress.ip_network(block) for block in networks)

    for octet in range(256):
        assert holds(common, octet) == (holds(one, octet) and holds(other, octet))


@given(st.integers(1, 10**8))
def test_duration_is_parsed_as_it_was_formatted(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


WHO = st.builds(
    Who,
    users=some(PEOPLE, least=0),
    services=some(PEOPLE, least=0),
    groups=some(("staff", "crew", "oidc:dba", "ldap:dba"), least=0),
)


@given(
    st.lists(WHO, max_size=6),
    st.fixed_dictionaries({"staff": some(PEOPLE), "crew": some(PEOPLE)}),
    st.sampled_from(["user", "service"]),
    some(("oidc:dba", "ldap:dba", "oidc:all"), least=0),
)
def test_grants_held_are_those_that_cover_the_identity_in_their_order(
    whos: list[Who],
    members: dict[str, tuple[str, ...]],
    kind: Literal["user", "service"],
    groups: tuple[str, ...],
) -> None:
    policy = Policy(
        groups={name: Group(name=name, members=each) for name, each in members.items()},
        grants=tuple(
            build_grant(number, {"who": who, "on": ("web",), "as": ("root",)})
            for number, who in enumerate(whos)
        ),
    )
    identity = Identity(
        provider="mtls", subject="alice", kind=kind, groups=frozenset(groups), authenticated_ms=0
    )
    covering = [filed for filed in policy.grants if covers(policy, filed.grant, identity)]
    assert policy.held_by(identity) == covering
