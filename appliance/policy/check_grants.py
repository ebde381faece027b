"""The checks of grants: whom and what they name exists, and somebody can meet what they require, some day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appliance.identity.identity import Kind, kind_of
from appliance.policy.document import Policy
from appliance.policy.requirements import able_to_approve
from appliance.policy.tables import Document, Grant, Who
from appliance.ssh.keys import SK_TYPES

# The providers that never say of more than one factor.
_ONE_FACTOR: Final = frozenset({"mtls", "api", "local"})

_Found = Iterator[tuple[str, str]]


def check_satisfiable(policy: Policy, document: Document) -> _Found:
    """Yield which grants and limits of a file are for nobody, as far as the form of names tells.

    What is on record is not held against it: earlier versions let it pass, and it gave nothing.
    """
    for grant in document.grants:
        where = f'grant "{grant.name}"'
        yield from ((f"{where}: {key}", message) for key, message in _check_kinds(grant.who))
        yield from ((f"{where}: {key}", message) for key, message in _check_factors(policy, grant))
    for limit in () if document.appliance is None else document.appliance.limits:
        where = f'appliance: limit "{limit.name}"'
        yield from ((f"{where}: {key}", message) for key, message in _check_kinds(limit.who))


def _check_kinds(who: Who) -> _Found:
    kinds: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
        ("user", "services", who.services),
        ("service", "users", who.users),
    )
    for kind, key, names in kinds:
        for position, name in enumerate(names):
            if kind_of(name) == kind:
                yield f"who.{key}[{position}]", f"{name} is a {kind}: name it in who.{kind}s"


def _check_factors(policy: Policy, grant: Grant) -> _Found:
    """Check that somebody can sign in with more than one factor: a provider of people has to say so."""
    holders = (*grant.who.users, *grant.who.services, *_members(policy, grant.who))
    if grant.require.mfa and holders and all(name.partition(":")[0] in _ONE_FACTOR for name in holders):
        message = "nobody in who can: mtls, api and local identities never sign in with more than one factor"
        yield "require.mfa", message


def _members(policy: Policy, who: Who) -> Iterator[str]:
    """Yield the members of the document's groups, and providers' groups as they are."""
    for name in who.groups:
        yield from policy.groups[name].members if name in policy.groups else [name]


def check_grants(policy: Policy, document: Document) -> _Found:
    """Yield what is wrong with the grants of a file: where, and what."""
    for grant in document.grants:
        where = f'grant "{grant.name}"'
        for check in (_check_holders, _check_days, _check_keys, _check_name, _check_approvals):
            yield from ((f"{where}: {key}", message) for key, message in check(policy, grant))
        for position, name in enumerate(grant.on):
            group = policy.host_groups.get(name)
            if group is None:
                yield f"{where}: on[{position}]", f"there is no host group {name!r}"
            elif document.customer is not None and group.customer != document.customer:
                yield f"{where}: on[{position}]", f"{name!r} is not a host group of {document.customer}"


def _check_holders(policy: Policy, grant: Grant) -> _Found:
    return check_who(policy, grant.who)


def check_who(policy: Policy, who: Who) -> _Found:
    """Yield what is wrong with a ``who``: the key in it, and what."""
    if not (who.groups or who.users or who.services):
        yield "who", "names nobody; expected groups, users or services"
    for position, name in enumerate(who.groups):
        if ":" not in name and name not in policy.groups:
            yield (
                f"who.groups[{position}]",
                f"there is no group {name!r}; a provider's is written oidc:{name}",
            )


def _check_days(policy: Policy, grant: Grant) -> _Found:
    first, last = grant.first, grant.last
    if first is not None and last is not None and last < first:
        yield "until", f"{last} is before {first}, the first day: the grant would never give anything"
        return
    if grant.when is None:
        return
    schedule = policy.schedules.get(grant.when)
    if schedule is None:
        yield "when", f"there is no schedule {grant.when!r}"
    elif first is not None and last is not None:
        # The day before may open a window that reaches into the first one.
        days = {(first.weekday() + each) % 7 for each in range(-1, min(7, (last - first).days + 1))}
        if not any(days & window.days for window in schedule.windows):
            yield "when", f"the schedule {grant.when!r} is shut on all days from {first} until {last}"


def _check_keys(_policy: Policy, grant: Grant) -> _Found:
    require = grant.require
    if not require.hardware:
        return
    asks = "verify" if require.verify else "touch"
    others = [name for name in require.key_types or () if name not in SK_TYPES]
    if require.key_types is None or others:
        message = f"{asks} is what only hardware keys do: expected {' or '.join(sorted(SK_TYPES))}, or both"
        yield "require.key_types", message


def _check_name(policy: Policy, grant: Grant) -> _Found:
    """Approvals go by a grant's name: whoever gives one is not to have another file's grant approved."""
    same = [policy.grants[place] for place in policy.holders.names.get(grant.name, ())]
    if len(same) > 1 and any(filed.grant.require.approvals for filed in same):
        files = " and ".join(filed.file for filed in same)
        yield "name", f"it is in {files}, and approvals go by it: expected a name of its own"


def _check_approvals(policy: Policy, grant: Grant) -> _Found:
    require = grant.require
    if bool(require.approvals) != bool(require.approvers):
        yield "require.approvals", "expected both a number of approvals and approvers, or neither"
        return
    dangling = [position for position, name in enumerate(require.approvers) if name not in policy.groups]
    for position in dangling:
        name = require.approvers[position]
        message = f"there is no group {name!r} in this document, and only its groups say who is in them"
        yield f"require.approvers[{position}]", message
    if require.approvals and not dangling and _most_approvers(policy, grant) < require.approvals:
        message = "nobody could get so many: expected that many persons with keys, beside whoever asks"
        yield "require.approvals", message


def _most_approvers(policy: Policy, grant: Grant) -> int:
    """Return how many could approve for the requester who has the most of them."""
    # Who is in a provider's group is not known here: at best he is none of the approvers.
    holders = [*grant.who.users, *grant.who.services, *_members(policy, grant.who)]
    signers = _signers(policy)
    return max((len(able_to_approve(policy, grant, name) & signers) for name in holders), default=0)


def _signers(policy: Policy) -> frozenset[str]:
    """Return all persons who have a key to sign an approval with; an operator's key signs orders alone."""
    return frozenset(person.name for person in policy.persons.values() if person.keys)
