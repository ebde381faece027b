"""Why somebody may log in somewhere or may not: what of the state that takes, and a thread that answers.

The authority explains the present and what comes, since a decision rests on its state. That is read on the
writer's thread and explained on another, so that no decision waits for it. For the past the index makes the
state of a moment again (:mod:`appliance.index.explaining`), and uses the same functions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from appliance.authority.fold.state import State
from appliance.authority.issuing.circumstances import find_circumstances
from appliance.errors import Refusal
from appliance.explanations import ExplainBody, no_person
from appliance.identity.identity import Identity
from appliance.moments import parse_moment_ms
from appliance.policy.bars import find_bars
from appliance.policy.document import Policy
from appliance.policy.evaluate import Host
from appliance.policy.explain import Case, Explained, Question, explain_person
from appliance.policy.locks import Locks
from appliance.policy.roles import may_act, say_lacking
from appliance.policy.zones import format_moment

MAX_QUEUED: Final = 100
_SLACK_S: Final = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainable:
    """A question with all of the state that its answer takes; ``person``, if it is about all his accounts."""

    policy: Policy
    policy_seq: int
    size: int
    max_ttl_s: int
    at_s: int
    person: str | None
    cases: tuple[Case, ...]


def check_asker(policy: Policy, locks: Locks, caller: Identity, body: ExplainBody) -> bool:
    """Say whether who asks sees everyone's access: an auditor of all does, and others only their own.

    Who is locked is an auditor no more.

    Raises:
        Refusal: ``policy-denied``; he asks about another, or supposes that he is in groups.
    """
    lock = locks.on(policy, caller)
    if lock is None and may_act(policy, caller, "certificate.read"):
        return True
    if body.subject not in {None, str(caller)} or body.groups:
        lacking = say_lacking(policy, caller, "certificate.read") if lock is None else f"{caller} is locked"
        detail = f"{lacking}, and may ask about himself only, as he is"
        raise Refusal("policy-denied", detail, rule="certificate.read")
    return False


def find_subjects(policy: Policy, body: ExplainBody, caller: Identity) -> tuple[Identity, ...]:
    """Return who is asked about: whoever asks, as he is, or somebody in groups that are supposed.

    Raises:
        Refusal: ``not-found``; a person that the policy does not have.
    """
    named = body.subject or str(caller)
    if named == str(caller) and not body.groups:
        return (caller,)
    if ":" in named:
        return (_suppose(named, body.groups or ()),)
    if (person := policy.persons.get(named)) is None:
        raise no_person(named)
    return tuple(_suppose(name, body.groups or ()) for name in person.identities)


def _suppose(name: str, groups: Iterable[str]) -> Identity:
    """Return an account of somebody who is not here, in those of the groups that are its provider's."""
    provider, _, subject = name.partition(":")
    theirs = frozenset(group for group in groups if group.partition(":")[0] == provider)
    return Identity(provider=provider, subject=subject, kind="user", groups=theirs, authenticated_ms=0)


def gather(
    state: State,
    subjects: Sequence[Identity],
    body: ExplainBody,
    *,
    at_s: int,
    everyone: bool,
    knows_groups: bool,
) -> Explainable:
    """Take from a state what an answer about somebody, by one or several accounts, takes.

    To who sees only himself a host or a host group that there is not is one that none of his grants is on:
    he learns nothing of others'.

    Raises:
        Refusal: ``not-found``, host or host group are none; ``issuance-halted``, there is no policy.
    """
    applied = state.in_force()
    policy = applied.policy
    if everyone and body.host is not None and body.host not in state.hosts:
        raise Refusal("not-found", f"{body.host} is not registered, or was not at that moment")
    if everyone and body.host_group is not None and body.host_group not in policy.host_groups:
        raise Refusal("not-found", f"there is no host group {body.host_group} in the policy of that moment")
    host = None if body.host is None else state.hosts.get(body.host, _in_no_group(body.host))
    phases = _phases(state, policy)
    cases = (
        Case(
            question=Question(
                identity=subject,
                at_s=at_s,
                host=host,
                host_group=body.host_group,
                login=body.login,
                knows_groups=knows_groups,
                everyone=everyone,
            ),
            circumstances=find_circumstances(state, applied, subject),
            bars=find_bars(policy, state.locks, subject, phases),
        )
        for subject in subjects
    )
    is_person = body.subject is not None and ":" not in body.subject
    return Explainable(
        policy=policy,
        policy_seq=applied.seq,
        size=state.size,
        max_ttl_s=state.max_ttl_s,
        at_s=at_s,
        person=body.subject if is_person else None,
        cases=tuple(cases),
    )


def gather_now(state: State, caller: Identity, body: ExplainBody, now_s: int) -> Explainable:
    """Take from the state what an answer takes, at a moment from now on, for whoever may have it.

    Raises:
        Refusal: as :func:`check_asker` and :func:`gather`; ``not-found``, the moment has passed.
    """
    at_s = now_s if body.at is None else parse_moment_ms(body.at) // 1000
    if has_passed(at_s, now_s):
        raise Refusal("not-found", f"{body.at} has passed: the index has the state of that moment")
    policy = state.in_force().policy
    everyone = check_asker(policy, state.locks, caller, body)
    subjects = find_subjects(policy, body, caller)
    is_here = subjects[0] is caller
    return gather(state, subjects, body, at_s=max(at_s, now_s), everyone=everyone, knows_groups=is_here)


def has_passed(at_s: int, now_s: int) -> bool:
    """Say whether a moment has passed; whoever asks about now by his own clock may be behind by a little."""
    return at_s < now_s - _SLACK_S


def _phases(state: State, policy: Policy) -> dict[str, str]:
    """Return for each customer whether its user CA signs: ``signing``, ``halted`` or ``none``."""
    phases = dict.fromkeys(policy.customers, "none")
    for name, customer in policy.customers.items():
        ca = state.cas.get(customer.user_ca)
        if ca is not None and ca.signing_key is not None and (ca.type, ca.customer) == ("user", name):
            phases[name] = "halted" if ca.signing_key.halted else "signing"
    return phases


def _in_no_group(name: str) -> Host:
    return Host(name=name, customer="", names=(), labels=(), seq=0)


def answer(found: Explainable) -> dict[str, Any]:
    """Answer the question, as the route has it."""
    explanation = explain_person(found.policy, found.cases, max_ttl_s=found.max_ttl_s)
    by_account = found.person is not None
    rendered: dict[str, Any] = {
        "subject": found.person or str(found.cases[0].question.identity),
        "at": format_moment(found.at_s),
        "policy": found.policy_seq,
        "grants": [_render(each, by_account=by_account) for each in explanation.grants],
        "left_out": explanation.left_out,
        "ledger_size": found.size,
    }
    if explanation.next_s is not None:
        rendered["next"] = format_moment(explanation.next_s)
    return rendered


def _render(explained: Explained, *, by_account: bool) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        **({"account": str(explained.identity)} if by_account else {}),
        "file": explained.filed.file,
        "name": explained.filed.grant.name,
        "verdict": explained.verdict,
        "principals": list(explained.principals),
        "conditions": list(explained.conditions),
        "obstacles": [{"rule": each.rule, "detail": each.detail} for each in explained.obstacles],
    }
    moments = {"valid_before": explained.valid_before, "next": explained.next_s}
    return rendered | {
        name: format_moment(moment_s) for name, moment_s in moments.items() if moment_s is not None
    }


class Explainer:
    """A thread that explains; it waits for nothing and holds up nobody."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Explainable, Callable[[object], None]]] = SimpleQueue()

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="explainer", daemon=True).start()

    def submit(self, found: Explainable, reply: Callable[[object], None]) -> None:
        """Have ``reply`` called with the answer, or at once with a refusal if too many are waiting."""
        if self._queue.qsize() >= MAX_QUEUED:
            reply(Refusal("overloaded", "too many explanations are asked for; try again", retry_after_s=1))
            return
        self._queue.put((found, reply))

    def _run(self) -> None:
        while True:
            found, reply = self._queue.get()
            reply(self._answer(found))

    @staticmethod
    def _answer(found: Explainable) -> dict[str, Any] | Refusal:
        try:
            return answer(found)
        except Exception:
            log.exception("no explanation for %s", found.cases[0].question.identity)
            return Refusal("internal", "it could not be explained; the authority's log says why")
