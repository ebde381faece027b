"""Why somebody may log in somewhere or may not: what of the state that takes, and a thread that answers.

The authority explains and not the index, because a decision rests on what only its state holds in full:
leave, approvals, hosts as they are now. The state is read on the writer's thread and explained on another, so
that no decision waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from appliance.authority.fold.state import State
from appliance.authority.issuing.circumstances import find_circumstances
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.identity.identity import Identity
from appliance.moments import parse_moment_ms
from appliance.policy.circumstances import Circumstances
from appliance.policy.document import Policy
from appliance.policy.explain import Explained, Question, explain
from appliance.policy.roles import may_act, say_lacking
from appliance.policy.zones import format_moment

MAX_QUEUED: Final = 100
# Whoever asks about now by his own clock may be behind by so much.
_SLACK_S: Final = 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainable:
    """A question with all of the state that its answer takes."""

    policy: Policy
    policy_seq: int
    size: int
    max_ttl_s: int
    question: Question
    circumstances: Circumstances


def gather(state: State, caller: Identity, body: ExplainBody, now_s: int) -> Explainable:
    """Take from the state what an answer takes, for whoever may have it: anyone about himself, auditors all.

    Raises:
        Refusal: ``policy-denied``; ``not-found``, host or host group are none, or the moment has passed;
            ``issuance-halted``, there is no policy.
    """
    applied = state.in_force()
    policy, himself = applied.policy, body.subject in {None, str(caller)}
    auditor = may_act(policy, caller, "certificate.read")
    if not auditor and (not himself or body.groups):
        lacking = say_lacking(policy, caller, "certificate.read")
        detail = f"{lacking}, and may ask about himself only, as he is"
        raise Refusal("policy-denied", detail, rule="certificate.read")
    host = None if body.host is None else state.hosts.get(body.host)
    if body.host is not None and host is None:
        raise Refusal("not-found", f"{body.host} is not registered")
    if body.host_group is not None and body.host_group not in policy.host_groups:
        raise Refusal("not-found", f"there is no host group {body.host_group}")
    identity = caller if himself and not body.groups else _suppose(body, caller)
    return Explainable(
        policy=policy,
        policy_seq=applied.seq,
        size=state.size,
        max_ttl_s=state.max_ttl_s,
        circumstances=find_circumstances(state, applied, identity),
        question=Question(
            identity=identity,
            at_s=_find_moment(body, now_s),
            host=host,
            host_group=body.host_group,
            login=body.login,
            knows_groups=identity is caller,
            everyone=auditor,
        ),
    )


def _suppose(body: ExplainBody, caller: Identity) -> Identity:
    """Return the identity of somebody who is not here, in the groups that he is supposed to be in."""
    provider, _, subject = (body.subject or str(caller)).partition(":")
    return Identity(
        provider=provider,
        subject=subject,
        kind="user",
        groups=frozenset(body.groups or ()),
        authenticated_ms=0,
    )


def _find_moment(body: ExplainBody, now_s: int) -> int:
    at_s = now_s if body.at is None else parse_moment_ms(body.at) // 1000
    if at_s < now_s - _SLACK_S:
        detail = f"{body.at} has passed, and who was on leave then is not kept; ask for access by policy"
        raise Refusal("not-found", detail)
    return max(at_s, now_s)


def answer(found: Explainable) -> dict[str, Any]:
    """Answer the question, as the route has it."""
    explanation = explain(found.policy, found.question, found.circumstances, max_ttl_s=found.max_ttl_s)
    rendered: dict[str, Any] = {
        "subject": str(found.question.identity),
        "at": format_moment(found.question.at_s),
        "policy": found.policy_seq,
        "grants": [_render(each) for each in explanation.grants],
        "left_out": explanation.left_out,
        "ledger_size": found.size,
    }
    if explanation.next_s is not None:
        rendered["next"] = format_moment(explanation.next_s)
    return rendered


def _render(explained: Explained) -> dict[str, Any]:
    rendered: dict[str, Any] = {
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
            log.exception("no explanation for %s", found.question.identity)
            return Refusal("internal", "it could not be explained; the authority's log says why")
