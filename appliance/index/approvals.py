"""Approvals, in pages: who asked for what, and who answered."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from appliance.clock import format_rfc3339, format_rfc3339_ms
from appliance.durations import format_duration
from appliance.index.paging import Listed, check_cursor, check_limit, cut
from appliance.index.queries import Snapshot
from appliance.policy.document import Policy
from appliance.policy.requirements import able_to_answer, grants_named

APPROVAL_CURSOR: Final = r"^[0-9a-f]{1,13}$"  # the entry
_LAST: Final = 2**62

State = Literal["open", "given", "refused", "over"]

_ANSWERS: Final = (
    "SELECT * FROM approval_answer WHERE approval IN (SELECT value FROM json_each(:seqs)) ORDER BY seq"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """What a person answered; ``seq`` is the entry that says so."""

    seq: int
    person: str
    answer: Literal["given", "refused"]
    expires_s: int
    reason: str | None
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """An approval that was asked for; ``needed`` is how many must give it, by the policy in force.

    ``approvers`` are the persons who may, by that policy.
    """

    seq: int
    identity: str
    grant: str
    reason: str
    requested_ms: int
    answer_by_s: int
    ttl_s: int
    needed: int
    answers: tuple[AnswerRecord, ...]
    approvers: tuple[str, ...]

    @property
    def given(self) -> tuple[AnswerRecord, ...]:
        """The answers that give it."""
        return tuple(each for each in self.answers if each.answer == "given")

    @property
    def ends_s(self) -> int | None:
        """Until when it holds, as far as it was given."""
        return min((each.expires_s for each in self.given), default=None)

    def state(self, now_s: int) -> State:
        """Return what it is good for at a moment."""
        if any(each.answer == "refused" for each in self.answers):
            return "refused"
        lasts = self.ends_s is None or self.ends_s > now_s
        if lasts and len(self.given) >= self.needed:
            return "given"
        return "open" if lasts and now_s < self.answer_by_s else "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFilter:
    """Which approvals are wanted: by whom or for which grants (None is all), also those that are over."""

    identity: str | None = None
    grants: Collection[str] = ()
    past: bool = False


def approvable(policy: Policy | None, identity: str) -> frozenset[str]:
    """Return the grants to which an identity's person may give approval."""
    if policy is None:
        return frozenset()
    person = policy.who_is(identity)
    groups = {
        name
        for name, group in policy.groups.items()
        if any(policy.who_is(member) == person for member in group.members)
    }
    return frozenset(
        filed.grant.name for filed in policy.grants if not groups.isdisjoint(filed.grant.require.approvers)
    )


def list_approvals(
    snapshot: Snapshot, wanted: ApprovalFilter, *, now_s: int, cursor: str | None, limit: int
) -> Listed[ApprovalRecord]:
    """Return some approvals, the last asked for first.

    Raises:
        Refusal: ``malformed-request``; the cursor or the limit is none.
    """
    before = _LAST if cursor is None else int(check_cursor(APPROVAL_CURSOR, cursor), 16)
    conditions = ["seq < :before"]
    if not wanted.past:
        # A refusal is the end of one, and shown among the others.
        lasting = "SELECT 1 FROM approval_answer a WHERE a.approval = approval.seq AND a.expires_s > :now"
        conditions.append(f"(answer_by_s > :now OR EXISTS ({lasting}))")
    if wanted.identity is not None:
        conditions.append("(identity = :identity OR grant_name IN (SELECT value FROM json_each(:grants)))")
    # The conditions are this function's own, the values are bound.
    sql = f"SELECT * FROM approval WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :limit"  # noqa: S608
    rows = snapshot.rows(
        sql,
        before=before,
        now=now_s,
        identity=wanted.identity,
        grants=json.dumps(sorted(wanted.grants)),
        limit=check_limit(limit) + 1,
    )
    return cut(snapshot, _approvals_of(snapshot, rows), limit, lambda each: f"{each.seq:x}")


def render_approval(record: ApprovalRecord, now_s: int) -> dict[str, Any]:
    """Render an approval."""
    rendered = {
        "approval": record.seq,
        "identity": record.identity,
        "grant": record.grant,
        "reason": record.reason,
        "requested": format_rfc3339_ms(record.requested_ms),
        "answer_by": format_rfc3339(record.answer_by_s),
        "ttl": format_duration(record.ttl_s),
        "state": record.state(now_s),
        "needed": record.needed,
        "approvers": list(record.approvers),
        "answers": [_render_answer(each) for each in record.answers],
        "ends": None if record.ends_s is None else format_rfc3339(record.ends_s),
    }
    return {name: value for name, value in rendered.items() if value is not None}


def _render_answer(answer: AnswerRecord) -> dict[str, Any]:
    rendered = {
        "person": answer.person,
        "answer": answer.answer,
        "expires": format_rfc3339(answer.expires_s),
        "reason": answer.reason,
        "answered": format_rfc3339_ms(answer.time_ms),
        "entry": answer.seq,
    }
    return {name: value for name, value in rendered.items() if value is not None}


def _approvals_of(snapshot: Snapshot, rows: list[dict[str, Any]]) -> list[ApprovalRecord]:
    policy = snapshot.policy() or Policy()
    answers: dict[int, list[AnswerRecord]] = {}
    for row in snapshot.rows(_ANSWERS, seqs=json.dumps([row["seq"] for row in rows])):
        of = row.pop("approval")
        answers.setdefault(of, []).append(AnswerRecord(**row))
    return [_approval_of(policy, row, answers.get(row["seq"], [])) for row in rows]


def _approval_of(policy: Policy, row: Mapping[str, Any], answers: list[AnswerRecord]) -> ApprovalRecord:
    fields = {name: value for name, value in row.items() if name != "grant_name"}
    needed = max((each.require.approvals for each in grants_named(policy, row["grant_name"])), default=1)
    able = able_to_answer(policy, row["grant_name"], row["identity"])
    return ApprovalRecord(
        **fields,
        grant=row["grant_name"],
        needed=needed,
        answers=tuple(answers),
        approvers=tuple(sorted(able)),
    )
