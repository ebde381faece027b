"""Leave, in pages: what is booked, what a feed has withdrawn, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from appliance.clock import format_rfc3339, format_rfc3339_ms
from appliance.index.paging import Listed, check_cursor, check_limit, cut
from appliance.index.queries import Snapshot
from appliance.policy.document import Policy

LEAVE_CURSOR: Final = r"^[0-9a-f]{1,13}$"  # the entry
_LAST: Final = 2**62
# Said wherever access is cut off, since it is what people forget.
CAVEAT: Final = (
    "sessions that are open are not ended by it, and a host learns of a revocation from the KRL only"
)

_OF_WHOM: Final = """(
    person IN (SELECT value FROM json_each(:names))
    OR instr(person, ':') = 0
    AND person NOT IN (SELECT value FROM json_each(:persons))
    AND EXISTS (
        SELECT 1 FROM json_each(identities) WHERE value IN (SELECT value FROM json_each(:names))
    )
)"""

State = Literal["booked", "away", "over", "cancelled", "replaced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveRecord:
    """A leave, half-open, in Unix seconds; ``identities`` are the person's accounts when it was booked.

    ``booked_ends_s`` is when it was to end before an operator had it end sooner.
    """

    seq: int
    person: str
    identities: tuple[str, ...]
    starts_s: int
    ends_s: int
    booked_ends_s: int
    timezone: str | None
    reason: str | None
    feed: str | None
    uid: str | None
    booked_by: str
    booked_ms: int
    withdrawn_ms: int | None
    ended: Literal["cancelled", "replaced"] | None
    ended_ms: int | None

    def state(self, now_s: int) -> State:
        """Return what it is at a moment."""
        if self.ended is not None:
            return self.ended
        if self.ends_s <= now_s:
            return "over"
        return "away" if self.starts_s <= now_s else "booked"

    def is_pending(self, now_s: int) -> bool:
        """Say whether its feed shows it no more, so that an operator is to say whether it is cancelled."""
        return self.withdrawn_ms is not None and self.state(now_s) in {"booked", "away"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Somebody whose leave is wanted: ``names`` that it is booked under, his own and those of his accounts.

    ``persons`` are those that the policy has: the leave of another is also of whoever has his accounts now,
    as decisions have it.
    """

    names: frozenset[str]
    persons: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveFilter:
    """Which leaves are wanted: of whom (None is all), also those that are over, only what is pending.

    ``overruled`` are those which an operator has cancelled, or has end sooner, though their feed shows them.
    """

    whose: Whose | None = None
    feed: str | None = None
    past: bool = False
    pending: bool = False
    overruled: bool = False


def find_whose(policy: Policy | None, who: str) -> Whose:
    """Return whose leave somebody's is: a person's by name, or by one of his accounts."""
    if policy is None:
        return Whose(names=frozenset({who}))
    person = policy.who_is(who)
    known = policy.persons.get(person)
    names = frozenset({who, person, *(() if known is None else known.identities)})
    return Whose(names=names, persons=frozenset(policy.persons))


def list_leaves(
    snapshot: Snapshot, wanted: LeaveFilter, *, now_s: int, cursor: str | None, limit: int
) -> Listed[LeaveRecord]:
    """Return some leaves, the last booked first.

    Raises:
        Refusal: ``malformed-request``; the cursor or the limit is none.
    """
    before = _LAST if cursor is None else int(check_cursor(LEAVE_CURSOR, cursor), 16)
    conditions = ["seq < :before"]
    if wanted.overruled:
        conditions += ["booked_ends_s > :now", "withdrawn_ms IS NULL"]
        conditions.append("(ended = 'cancelled' OR ends_s < booked_ends_s)")
    elif not wanted.past:
        conditions += ["ends_s > :now", "ended IS NULL"]
    if wanted.pending:
        conditions += ["withdrawn_ms IS NOT NULL", "ends_s > :now", "ended IS NULL"]
    if wanted.feed is not None:
        conditions.append("feed = :feed")
    if wanted.whose is not None:
        conditions.append(_OF_WHOM)
    # The conditions are this function's own, the values are bound.
    sql = f"SELECT * FROM leave WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :limit"  # noqa: S608
    rows = snapshot.rows(
        sql,
        before=before,
        now=now_s,
        feed=wanted.feed,
        names=json.dumps(sorted(wanted.whose.names) if wanted.whose else []),
        persons=json.dumps(sorted(wanted.whose.persons) if wanted.whose else []),
        limit=check_limit(limit) + 1,
    )
    return cut(snapshot, [_leave_of(row) for row in rows], limit, lambda each: f"{each.seq:x}")


def render_leave(record: LeaveRecord, now_s: int) -> dict[str, Any]:
    """Render a leave."""
    rendered = {
        "leave": record.seq,
        "person": record.person,
        "identities": record.identities,
        "starts": format_rfc3339(record.starts_s),
        "ends": format_rfc3339(record.ends_s),
        "timezone": record.timezone,
        "state": record.state(now_s),
        "reason": record.reason,
        "feed": record.feed,
        "uid": record.uid,
        "booked_by": record.booked_by,
        "booked": format_rfc3339_ms(record.booked_ms),
        "withdrawn": None if record.withdrawn_ms is None else format_rfc3339_ms(record.withdrawn_ms),
        "pending_cancellation": record.is_pending(now_s),
        "ended": None if record.ended_ms is None else format_rfc3339_ms(record.ended_ms),
    }
    return {name: value for name, value in rendered.items() if value is not None}


def render_booked(done: dict[str, Any], now_s: int) -> dict[str, Any]:
    """Render what the authority says of a leave that it has booked, and what that means for who is away."""
    rendered = {
        "leave": done["seq"],
        "person": done["person"],
        "starts": format_rfc3339(done["starts_s"]),
        "ends": format_rfc3339(done["ends_s"]),
        "revoked": done["revoked"],
        "revoked_count": done["revoked_count"],
        "note": _explain(done, now_s),
    }
    return rendered | ({"already": True} if done["already"] else {})


def _explain(done: dict[str, Any], now_s: int) -> str:
    if not done["revoked_count"]:
        return f"no certificate reached into it; {CAVEAT}"
    again = "" if done["starts_s"] <= now_s else "; until it starts, new ones are to be had that end with it"
    return f"certificates that reached into it are revoked{again}; {CAVEAT}"


def _leave_of(row: dict[str, Any]) -> LeaveRecord:
    return LeaveRecord(**(row | {"identities": tuple(json.loads(row["identities"]))}))
