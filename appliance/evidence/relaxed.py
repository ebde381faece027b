"""Decisions by time zone rules that are not at hand, made again in all but their hours.

When a schedule was open is all that such an intent is believed. The grants that it cites must be in the
policy, cover the identity and have a schedule; they are asked again with their schedules open all the time,
and must give the very certificate, with its validity somewhere within what they give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.fold.state import State
from appliance.authority.issuing.plan import evaluate
from appliance.identity.identity import Identity
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Denial, Profile
from appliance.policy.schedules import Schedule
from appliance.requests import UserRequest
from appliance.ssh.content import CertificateContent

_ALWAYS: Final = ("mon-sun 00:00-24:00",)


def decide_but_hours(
    state: State,
    applied: AppliedPolicy,
    requester: tuple[Identity, Identity | None],
    request: UserRequest,
    data: Mapping[str, Any],
    content: CertificateContent,
    *,
    now_s: int,
) -> tuple[Profile, ...]:
    """Return the profiles that the cited grants could have made the certificate from: none if they could not.

    They have the certificate's own principals and validity. Where grants differ in more than their hours
    there are several: the certificate must be that of each of them.
    """
    identity, delegate = requester
    cited = _find_cited(applied.policy, identity, data)
    narrowed = _narrow(state, applied.policy, cited, request, content)
    if narrowed is None or data.get("window", {}).keys() != {"opens_s", "closes_s"}:
        return ()
    lax = replace(applied, policy=_open_always(applied.policy, cited))
    outcome = evaluate(state, lax, identity, narrowed, now_s=now_s, delegate=delegate)
    if isinstance(outcome, Denial):
        return ()
    profiles = _pick(outcome, content, latest_s=max(now_s, narrowed.start_s or 0))
    return tuple(
        replace(
            each,
            grants=cited,
            principals=content.principals,
            valid_after=content.valid_after,
            valid_before=content.valid_before,
        )
        for each in profiles
    )


def _pick(outcome: tuple[Profile, ...], content: CertificateContent, *, latest_s: int) -> list[Profile]:
    """Return the profiles with the certificate's principals; none if it goes beyond one of them."""
    wanted = frozenset(content.principals)
    profiles = [each for each in outcome if not wanted.isdisjoint(each.principals)]
    if not wanted <= {name for each in profiles for name in each.principals}:
        return []
    if content.principals != tuple(sorted(wanted)):
        return []
    return profiles if all(_holds(each, content, latest_s) for each in profiles) else []


def _find_cited(policy: Policy, identity: Identity, data: Mapping[str, Any]) -> tuple[FiledGrant, ...]:
    """Return the grants that an intent cites; none if one is not the identity's or has no schedule."""
    names = [(reference["file"], reference["name"]) for reference in data.get("grants", ())]
    held = {(filed.file, filed.grant.name): filed for filed in policy.held_by(identity)}
    found = [held[name] for name in names if name in held and held[name].grant.when is not None]
    return tuple(found) if len(found) == len(names) else ()


def _narrow(
    state: State,
    policy: Policy,
    cited: tuple[FiledGrant, ...],
    request: UserRequest,
    content: CertificateContent,
) -> UserRequest | None:
    """Return the request for just what the cited grants give of it; None if that is not the certificate."""
    sought = _seek(state, policy, request)
    places = sorted({name for filed in cited for name in filed.grant.on if sought is None or name in sought})
    groups = [policy.host_groups[name] for name in places]
    if request.customer is not None:
        groups = [group for group in groups if group.customer == request.customer]
    logins = request.logins or {login for filed in cited for login in filed.grant.logins}
    asked = {group.principal(login) for group in groups for login in logins}
    if not asked.issuperset(content.principals):
        return None
    return replace(
        request,
        hosts=(),
        host_groups=tuple(group.name for group in groups),
        logins=(),
        # A certificate that may begin later does so when the schedule opens, which only it says.
        start_s=None if request.start_s is None else max(request.start_s, content.valid_after),
    )


def _seek(state: State, policy: Policy, request: UserRequest) -> frozenset[str] | None:
    """Return the host groups that a request is about; None is any."""
    if not request.hosts and not request.host_groups:
        return None
    hosts = [state.hosts[name] for name in request.hosts if name in state.hosts]
    of_hosts = (group.name for host in hosts for group in policy.fleets.of_host(host))
    return frozenset(request.host_groups).union(of_hosts)


def _open_always(policy: Policy, cited: tuple[FiledGrant, ...]) -> Policy:
    """Return the policy with the cited grants alone, and every schedule open all the time."""
    always: dict[str, Any] = {"windows": _ALWAYS}
    schedules = {
        name: Schedule(name=name, timezone=schedule.timezone, **always)
        for name, schedule in policy.schedules.items()
    }
    return replace(policy, grants=cited, schedules=schedules)


def _holds(profile: Profile, content: CertificateContent, latest_s: int) -> bool:
    """Say whether a certificate's validity lies within what a profile allows, and begins by a moment."""
    begins = profile.valid_after <= content.valid_after <= latest_s
    return begins and content.valid_before <= profile.valid_before
