"""A feed and the ledger: whose leave its events are, what is to be booked, and what it shows no more. Pure.

A feed adds and extends leave by itself, since that only takes away. What vanishes from it would give access
back, so it is only recorded as withdrawn, and goes on until an operator cancels it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.calendars.occurrence import Occurrence

PLACE: Final = "{person}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Whose leave an event is: ``person``'s, or by e-mail of who organizes or attends, or by its summary.

    ``summary`` is a text with ``{person}`` in it, such as ``Leave: {person}``. Only those events count that
    take whole days, if ``only_all_day`` says so, and whose summary has one of the words ``containing``.
    """

    person: str | None = None
    organizers: Mapping[str, str] = field(default_factory=dict)
    attendees: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None
    only_all_day: bool = False
    containing: tuple[str, ...] = ()

    def persons(self, event: Occurrence) -> Iterator[str]:
        """Yield whose leave an event is."""
        if not self._counts(event):
            return
        if self.person is not None:
            yield self.person
        if event.organizer is not None and event.organizer in self.organizers:
            yield self.organizers[event.organizer]
        yield from (self.attendees[each] for each in event.attendees if each in self.attendees)
        if self.summary is not None and (named := _between(self.summary, event.summary)) is not None:
            yield named

    def _counts(self, event: Occurrence) -> bool:
        summary = event.summary.casefold()
        said = not self.containing or any(word.casefold() in summary for word in self.containing)
        return said and (event.all_day or not self.only_all_day)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shown:
    """Leave of one person as a feed shows it, half-open, in Unix seconds."""

    person: str
    starts_s: int
    ends_s: int
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Leave from the feed that is on record and not over; ``leave`` is the entry that booked it."""

    leave: int
    person: str
    starts_s: int
    ends_s: int
    withdrawn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What brings the ledger up to the feed: leave to be booked, and entries whose leave is withdrawn."""

    book: tuple[Shown, ...]
    withdraw: tuple[int, ...]


def assign(events: Iterable[Occurrence], assignment: Assignment) -> list[Shown]:
    """Return the leave that events are, by person and start."""
    return sorted(
        Shown(person=person, starts_s=event.starts_s, ends_s=event.ends_s, uid=event.uid)
        for event in events
        for person in set(assignment.persons(event))
    )


def compare(
    shown: Sequence[Shown],
    standing: Sequence[Standing],
    now_s: int,
    overruled: Collection[tuple[str, int, int, str]] = (),
) -> Changes:
    """Compare what a feed shows with what is on record of it.

    ``overruled`` are persons, times and UIDs that an operator has decided about while they were shown.

    1. What stands and is covered by what is shown of its person stays.
    2. What is not is withdrawn, unless it is so already.
    3. What is shown and not covered by what stays is booked; so nobody has access in the time between a
       withdrawn leave's cancellation and the next look at the feed.
    4. What an operator has overruled is not booked again for as long as the feed shows just that.
    """
    visible = _by_person(shown)
    kept, withdraw = [], []
    for leave in standing:
        if _covers(visible.get(leave.person, ()), leave.starts_s, leave.ends_s, now_s):
            kept.append(leave)
        elif not leave.withdrawn:
            withdraw.append(leave.leave)
    # A withdrawn one that is shown again is booked anew: it is on record as doubted.
    on_record = _by_person([leave for leave in kept if not leave.withdrawn])
    book = [
        each
        for each in shown
        if (each.person, each.starts_s, each.ends_s, each.uid) not in overruled
        and not _covers(on_record.get(each.person, ()), each.starts_s, each.ends_s, now_s)
    ]
    return Changes(book=tuple(book), withdraw=tuple(withdraw))


def _by_person(leaves: Iterable[Shown | Standing]) -> dict[str, list[tuple[int, int]]]:
    """Return each person's times, joined where they overlap or touch, by their start."""
    joined: dict[str, list[tuple[int, int]]] = {}
    for person, start, end in sorted((each.person, each.starts_s, each.ends_s) for each in leaves):
        times = joined.setdefault(person, [])
        if times and start <= times[-1][1]:
            times[-1] = (times[-1][0], max(times[-1][1], end))
        else:
            times.append((start, end))
    return joined


def _covers(times: Sequence[tuple[int, int]], starts_s: int, ends_s: int, now_s: int) -> bool:
    """Say whether joined times cover what is left of another."""
    left = max(starts_s, now_s)
    return left >= ends_s or any(start <= left and ends_s <= end for start, end in times)


def _between(template: str, summary: str) -> str | None:
    """Return what stands in the place of ``{person}``, if the rest is the template's.

    A person's name is in lower case. Of an account, ``provider:subject``, the case is its provider's.
    """
    before, _, after = template.partition(PLACE)
    if len(summary) <= len(before) + len(after):
        return None
    if not (summary.startswith(before) and summary.endswith(after)):
        return None
    named = summary[len(before) : len(summary) - len(after)].strip()
    return (named if ":" in named else named.lower()) or None
