"""Why somebody may log in somewhere at a moment, or why not, grant by grant, and when he could next.

Exact in what document and ledger determine. What only a request brings with it (its key, its reason, how its
sender has signed in) is a condition here. Who is in a provider's group is for that provider to say: unless
the groups are known, being in one is a condition too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from appliance.identity.identity import Identity, kind_of
from appliance.policy.bars import NO_BARS, Bars
from appliance.policy.circumstances import PLAIN, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Host
from appliance.policy.opening import Shut
from appliance.policy.requirements import Obstacle, find_approval, list_conditions, unapproved
from appliance.policy.tables import Grant, HostGroup
from appliance.policy.terms import When, find_next, open_grant, say_shut

MAX_EXPLAINED: Final = 200
_NEVER_S: Final = 2**62

Verdict = Literal["gives", "depends", "refuses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who, where, as whom, and when; None asks for any place or any login.

    ``knows_groups``: the identity's groups are all that it is in. ``everyone``: grants to others count too.
    """

    identity: Identity
    at_s: int
    host: Host | None = None
    host_group: str | None = None
    login: str | None = None
    knows_groups: bool = False
    everyone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question about one identity, and what there is about that one."""

    question: Question
    circumstances: Circumstances = PLAIN
    bars: Bars = NO_BARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What becomes of one grant for an identity: its principals asked about, conditions, what is in the way.

    ``valid_before`` is where a certificate of that moment would end, ``next_s`` the next moment at which the
    grant would give one where only its hours are in the way.
    """

    identity: Identity
    filed: FiledGrant
    principals: tuple[str, ...]
    conditions: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]
    valid_before: int | None
    next_s: int | None

    @property
    def verdict(self) -> Verdict:
        """Whether the grant gives access, gives it under conditions, or refuses it."""
        return "refuses" if self.obstacles else "depends" if self.conditions else "gives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The grants: what gives something first, then what opens soonest, last what is not his, each in order.

    ``left_out`` counts those that are not shown.
    """

    grants: tuple[Explained, ...]
    left_out: int

    @property
    def next_s(self) -> int | None:
        """The next moment at which one of them would give something, if none does at the moment."""
        if any(each.verdict != "refuses" for each in self.grants):
            return None
        return min((each.next_s for each in self.grants if each.next_s is not None), default=None)


def explain(
    policy: Policy,
    question: Question,
    circumstances: Circumstances = PLAIN,
    bars: Bars = NO_BARS,
    *,
    max_ttl_s: int,
) -> Explanation:
    """Explain what every grant says that could be meant: one to that identity, or one for that place."""
    case = Case(question=question, circumstances=circumstances, bars=bars)
    return explain_person(policy, [case], max_ttl_s=max_ttl_s)


def explain_person(policy: Policy, cases: Iterable[Case], *, max_ttl_s: int) -> Explanation:
    """Explain it for several accounts of one person: each grant for the one to which it gives most."""
    best: dict[int, Explained] = {}
    for case in cases:
        for place, filed in enumerate(policy.grants):
            if _concerns(policy, filed.grant, case.question):
                explained = _explain(policy, filed, case, max_ttl_s)
                best[place] = min(best.get(place, explained), explained, key=_rank)
    # Those that open soonest before others: what is left out then opens no sooner than what is shown.
    found = sorted((best[place] for place in sorted(best)), key=_rank)
    return Explanation(grants=tuple(found[:MAX_EXPLAINED]), left_out=max(0, len(found) - MAX_EXPLAINED))


def _rank(explained: Explained) -> tuple[int, int, bool]:
    is_others = any(obstacle.rule == "who" for obstacle in explained.obstacles)
    return get_args(Verdict).index(explained.verdict), explained.next_s or _NEVER_S, is_others


def _concerns(policy: Policy, grant: Grant, question: Question) -> bool:
    covered = any(True for _ in _find_covers(policy, grant, question))
    if covered or not question.everyone or not (question.host or question.host_group):
        return covered
    return any(_principals(policy, grant, question))


def _explain(policy: Policy, filed: FiledGrant, case: Case, max_ttl_s: int) -> Explained:
    question, circumstances, bars = case.question, case.circumstances, case.bars
    grant, requester = filed.grant, str(question.identity)
    elsewhere = [*_find_elsewhere(policy, grant, question)]
    approval = find_approval(policy, grant, requester, circumstances.approvals, question.at_s)
    unmet = [unapproved(grant)] if grant.require.approvals and approval is None else []
    approved_s = approval.ends_s if grant.require.approvals and approval is not None else None
    when = When(start_s=question.at_s, latest_s=question.at_s, max_ttl_s=max_ttl_s)
    hours = policy.hours(grant)
    opening = open_grant(grant, hours, circumstances.leaves, when, approved_s)
    next_s, shut = None, []
    if isinstance(opening, Shut):
        next_s = find_next(grant, hours, circumstances.leaves, when, opening)
        shut = [say_shut(grant, hours, opening, next_s)]
        if next_s is not None and approved_s is not None and approved_s - next_s < when.lasts(grant)[1]:
            next_s = None  # by then the approval is over
    obstacles = [*elsewhere, *_find_bars(policy, grant, question, bars), *unmet, *shut]
    return Explained(
        identity=question.identity,
        filed=filed,
        principals=tuple(_principals(policy, grant, question, bars)),
        conditions=(*_membership(policy, grant, question), *list_conditions(grant.require)),
        obstacles=tuple(obstacles),
        valid_before=None if obstacles or isinstance(opening, Shut) else opening.not_after_s,
        next_s=next_s if obstacles == shut else None,
    )


def _find_elsewhere(policy: Policy, grant: Grant, question: Question) -> Iterator[Obstacle]:
    """Yield what of the question the grant does not name at all."""
    name = f"grant {grant.name!r}"
    if not [*_find_covers(policy, grant, question)]:
        yield Obstacle(rule="who", detail=f"{name} does not cover {question.identity}")
    groups = [*_groups(policy, grant, question)]
    if not groups:
        place = question.host.name if question.host is not None else question.host_group
        yield Obstacle(rule="on", detail=f"{name} is not on {place}, but on {', '.join(grant.on[:5])}")
    if question.login is not None and question.login not in grant.logins:
        yield Obstacle(
            rule="as", detail=f"{name} is as {', '.join(grant.logins[:5])}, not as {question.login}"
        )


def _find_bars(policy: Policy, grant: Grant, question: Question, bars: Bars) -> Iterator[Obstacle]:
    """Yield what is in the way of any grant: locks on him or on all groups by which he has it, and CAs.

    A grant on host groups of several customers gives what is of those whose CA signs.
    """
    if bars.himself is not None:
        yield bars.himself
    covers = [*_find_covers(policy, grant, question)]
    locked = [bars.groups[name] for name in covers if name in bars.groups]
    if bars.himself is None and len(locked) == len(covers):
        yield from locked
    customers = dict.fromkeys(group.customer for group in _groups(policy, grant, question))
    if bars.customers.keys() >= customers.keys():
        yield from (bars.customers[name] for name in customers)


def _groups(policy: Policy, grant: Grant, question: Question) -> Iterator[HostGroup]:
    for name in grant.on:
        group = policy.host_groups[name]
        if question.host_group is not None and name != question.host_group:
            continue
        if question.host is None or question.host.is_in(group):
            yield group


def _principals(policy: Policy, grant: Grant, question: Question, bars: Bars = NO_BARS) -> Iterator[str]:
    groups = [*_groups(policy, grant, question)]
    able = [group for group in groups if group.customer not in bars.customers]
    for group in able or groups:
        for login in grant.logins:
            if question.login is None or login == question.login:
                yield group.principal(login)


def _find_covers(policy: Policy, grant: Grant, question: Question) -> Iterator[str]:
    """Yield how a grant covers the identity: "" for certain, else by a provider's group that he may be in."""
    name, who = str(question.identity), grant.who
    named = {"user": who.users, "service": who.services}
    kind = question.identity.kind if question.knows_groups else kind_of(name)
    kinds = list(named) if kind is None else [kind]
    if any(name in named.get(kind, ()) for kind in kinds):
        yield ""
    for group in who.groups:
        if ":" not in group:
            if name in policy.groups[group].members:
                yield ""
        elif group in question.identity.groups:
            yield ""
        elif not question.knows_groups and group.partition(":")[0] == question.identity.provider:
            yield group


def _membership(policy: Policy, grant: Grant, question: Question) -> Iterator[str]:
    covers = [*_find_covers(policy, grant, question)]
    if covers and "" not in covers:
        yield f"being in {' or '.join(covers)}"
