"""Leave: booking it cuts off and needs no order; cancelling it gives access back and is one.

A leave takes effect with its entry. Decisions end certificates where it begins; those that are live already
and reach into it are revoked in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.authority.cutting.cutoff import asked_by, cut_off, find_live, held_by
from appliance.authority.cutting.revocation import check_may
from appliance.authority.events import (
    Event,
    LeaveBooked,
    LeaveCancelled,
    LeaveSource,
    LeaveWithdrawn,
    OrderData,
)
from appliance.authority.fold.leaves import Leave, accounts_of
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import State
from appliance.authority.ordering.administration import Answer, CarryOut
from appliance.authority.ordering.commands import CancelLeave
from appliance.authority.orders import OrderBody
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity, check_reference
from appliance.policy.document import Policy
from appliance.policy.fields import READ_WHOLE, NameField
from appliance.policy.names import check_name
from appliance.policy.roles import may_act
from audit.entry import Entry

# Further than anyone plans, and near enough that a wrong year is noticed.
MAX_AHEAD_S: Final = 5 * 366 * 86_400
# Of one person: those of a calendar for every day of two years, and no flood.
MAX_STANDING: Final = 1_000
# Of one person who books them himself, beside those that come from feeds.
MAX_OWN: Final = 100
# Of one person: they are cut in one transaction, however many they are, or the leave would not hold yet.
_ALL: Final = 2**31


def _check_who(text: str) -> str:
    return check_reference(text) if ":" in text else check_name(text)


def _check_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected printable characters, on one line")
    return text


WhoField = Annotated[
    str,
    AfterValidator(_check_who),
    Field(
        max_length=288,
        description="a person of the policy, or provider:subject",
        examples=["ada"],
        json_schema_extra={"format": "person"},
    ),
]
SecondsField = Annotated[int, Field(ge=0, le=2**53 - 1, description="Unix seconds"), READ_WHOLE]
LineField = Annotated[str, AfterValidator(_check_line), Field(min_length=1, max_length=255)]


class LeaveSourceBody(BaseModel):
    """The feed that a leave comes from, and the event's UID there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    feed: NameField
    uid: LineField


class LeaveBody(BaseModel):
    """Book leave for a person: from one moment up to and not including the other."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    person: WhoField
    starts_s: SecondsField
    ends_s: SecondsField
    timezone: LineField | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    source: LeaveSourceBody | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A leave on record; ``already``: it was there before. ``revoked`` are serials that reached into it."""

    leave: Leave
    already: bool = False
    revoked: tuple[str, ...] = ()


class BookLeave:
    """Books leave: for others by role, for himself anyone."""

    def __init__(
        self, identity: Identity, body: LeaveBody, answer: Callable[[Booked | Refusal], None]
    ) -> None:
        self._identity = identity
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:
        """Decide whose leave it is, who may book it, and which certificates it cuts off."""
        policy = state.in_force().policy
        leave = _plan(policy, self._body, at.seq)
        if not is_own(policy, self._identity, leave):
            check_may(state, self._identity, "leave.book")
        _check_end(leave, at.time_s)
        known = state.leaves.find_same(leave)
        if known is not None:
            return Decided(after=lambda _entries: self._answer(Booked(leave=known, already=True)))
        self._check_room(state, policy, leave.person)
        cut = cut_off(
            state,
            find_reaching(state, policy, leave, at.time_s),
            reason=f"leave of {leave.person}",
            by=at.seq,
            now_s=at.time_s,
            most=_ALL,
        )
        booked = Event(kind="leave.booked", data=_book(leave, self._body, self._identity))
        return Decided(events=[booked, *cut.events], after=partial(self._tell, leave))

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was booked."""
        self._answer(refusal)

    def _check_room(self, state: State, policy: Policy, person: str) -> None:
        most, booked = MAX_STANDING, state.leaves.count(person)
        if booked < most and not may_act(policy, self._identity, "leave.book"):
            most, booked = MAX_OWN, state.leaves.count_by_hand(person)
        if booked >= most:
            raise Refusal("conflict", f"{person} has {booked} leaves booked: have some cancelled first")

    def _tell(self, leave: Leave, entries: Sequence[Entry]) -> None:
        revoked = tuple(str(entry.data["serial"]) for entry in entries[1:])
        self._answer(Booked(leave=leave, revoked=revoked))


class WithdrawLeave:
    """Records that a feed shows a leave no more; an operator is to cancel it, or not."""

    def __init__(self, identity: Identity, seq: int, answer: Callable[[int | Refusal | None], None]) -> None:
        self._identity = identity
        self._seq = seq
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:
        """Decide who may say so, and whether it was said before."""
        check_may(state, self._identity, "leave.book")
        known = _find(state, self._seq, at.time_s)
        if known.source is None:
            raise Refusal("conflict", f"the leave {self._seq} came from no feed: cancel it, if it is wrong")
        if known.withdrawn:
            return Decided(after=lambda _entries: self._answer(None))
        data = LeaveWithdrawn(leave=self._seq, by=self._identity.to_data())
        event = Event(kind="leave.withdrawn", data=data)
        return Decided(events=[event], after=lambda entries: self._answer(entries[0].seq))

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was recorded."""
        self._answer(refusal)


def cancel_leave(command: CancelLeave, orders: Sequence[OrderBody], answer: Answer) -> CarryOut:
    """Cancel a leave, or have it end sooner."""
    return CarryOut(command, orders, partial(_build_cancellation, command), answer)


def find_reaching(state: State, policy: Policy, leave: Leave, now_s: int) -> list[IssuedCertificate]:
    """Return the live certificates of a person, or asked for by him as a delegate, that reach into leave."""
    lasting = find_lasting(state, policy, leave, now_s)
    return [each for each in lasting if each.valid_after < leave.ends_s]


def find_lasting(state: State, policy: Policy, leave: Leave, now_s: int) -> list[IssuedCertificate]:
    """Return what :func:`find_reaching` does, and what begins only after the leave."""
    accounts = accounts_of(policy, policy.who_is(leave.person))
    found = {each.seq: each for each in (*held_by(state, accounts), *asked_by(state, accounts))}
    return [each for each in find_live(found.values(), now_s) if each.valid_before > leave.starts_s]


def is_own(policy: Policy, identity: Identity, leave: Leave) -> bool:
    """Say whether a leave is of the identity's own person, and of no feed: such anyone may book."""
    return leave.source is None and policy.who_is(str(identity)) == policy.who_is(leave.person)


def _plan(policy: Policy, body: LeaveBody, seq: int) -> Leave:
    person = policy.who_is(body.person)
    if ":" not in person and person not in policy.persons:
        raise Refusal(
            "not-found", f"the policy has no person {person}: name one that it has, or provider:subject"
        )
    if body.starts_s >= body.ends_s:
        raise malformed("ends", "is not after starts: the leave would be over before it begins")
    source = None if body.source is None else (body.source.feed, body.source.uid)
    return Leave(
        seq=seq,
        person=person,
        identities=tuple(sorted(accounts_of(policy, person))),
        starts_s=body.starts_s,
        ends_s=body.ends_s,
        source=source,
    )


def _check_end(leave: Leave, now_s: int) -> None:
    if leave.ends_s <= now_s:
        raise malformed("ends", "has passed: the leave is over already")
    if leave.ends_s > now_s + MAX_AHEAD_S:
        raise malformed("ends", "is more than five years ahead: book what is sure, and the rest then")


def _book(leave: Leave, body: LeaveBody, identity: Identity) -> LeaveBooked:
    data = LeaveBooked(
        person=leave.person,
        identities=list(leave.identities),
        starts_s=leave.starts_s,
        ends_s=leave.ends_s,
        by=identity.to_data(),
    )
    if body.timezone is not None:
        data["timezone"] = body.timezone
    if body.reason is not None:
        data["reason"] = body.reason
    if body.source is not None:
        data["source"] = LeaveSource(feed=body.source.feed, uid=body.source.uid)
    return data


def _build_cancellation(command: CancelLeave, state: State, at: At, orders: list[OrderData]) -> list[Event]:
    known = _find(state, command.leave, at.time_s)
    data = LeaveCancelled(leave=known.seq, command=command.to_command(), orders=orders)
    if command.ends_s is not None:
        if not max(known.starts_s, at.time_s) < command.ends_s < known.ends_s:
            raise malformed("ends_s", "expected a moment to come, after the leave's start and before its end")
        data["ends_s"] = command.ends_s
    return [Event(kind="leave.cancelled", data=data)]


def _find(state: State, seq: int, now_s: int) -> Leave:
    known = state.leaves.get(seq)
    if known is None or known.ends_s <= now_s:
        raise Refusal("not-found", f"entry {seq} booked no leave, or it was cancelled, or is over")
    return known
