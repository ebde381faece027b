"""Feeds and the ledger: whose leave an event is, and what is booked and withdrawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calendars.occurrence import Occurrence
from appliance.calendars.sync import Assignment, Shown, Standing, assign, compare

NOW_S = 1_000
persons = st.sampled_from(("ada", "bob"))
times = st.tuples(st.integers(900, 1_040), st.integers(1, 60)).map(lambda time: (time[0], sum(time)))


def occurrence(**changes: Any) -> Occurrence:
    fields: dict[str, Any] = {
        "uid": "1",
        "summary": "Leave: Ada",
        "organizer": "ada@acme.example",
        "attendees": ("bob@acme.example", "eve@acme.example"),
        "all_day": True,
        "starts_s": 2_000,
        "ends_s": 3_000,
    }
    return Occurrence(**(fields | changes))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (Assignment(person="ada"), ["ada"]),
        (Assignment(organizers={"ada@acme.example": "ada", "bob@acme.example": "bob"}), ["ada"]),
        (Assignment(attendees={"bob@acme.example": "bob", "dan@acme.example": "dan"}), ["bob"]),
        (Assignment(summary="Leave: {person}"), ["ada"]),
        (Assignment(summary="{person} is away"), []),
        (Assignment(summary="Leave: {person}", containing=("vacation", "LEAVE")), ["ada"]),
        (Assignment(person="ada", containing=("vacation",)), []),
    ],
)
def test_event_is_the_leave_of_whom_the_configuration_says(
    assignment: Assignment, expected: list[str]
) -> None:
    assert [each.person for each in assign([occurrence()], assignment)] == expected


def test_only_whole_days_count_where_that_is_asked_for_and_an_organizer_may_be_missing() -> None:
    whole = Assignment(person="ada", only_all_day=True)
    assert assign([occurrence(all_day=False)], whole) == []
    assert assign([occurrence(organizer=None)], Assignment(organizers={"ada@acme.example": "ada"})) == []


@st.composite
def shown_leaves(draw: st.DrawFn) -> list[Shown]:
    drawn = draw(st.lists(st.tuples(persons, times), max_size=6))
    return [Shown(person=who, starts_s=start, ends_s=end, uid="1") for who, (start, end) in drawn]


@st.composite
def standing_leaves(draw: st.DrawFn) -> list[Standing]:
    drawn = draw(st.lists(st.tuples(persons, times, st.booleans()), max_size=6))
    return [
        Standing(leave=seq, person=who, starts_s=start, ends_s=end, withdrawn=withdrawn)
        for seq, (who, (start, end), withdrawn) in enumerate(drawn)
    ]


def seconds(leaves: list[Shown] | list[Standing], person: str) -> set[int]:
    """Return every second to come in which a person is away: the slow way."""
    return {
        second
        for each in leaves
        if each.person == person
        for second in range(max(each.starts_s, NOW_S), each.ends_s)
    }


@given(shown_leaves(), standing_leaves())
def test_what_is_shown_is_booked_or_stands_also_when_all_that_was_withdrawn_is_cancelled(
    shown: list[Shown], standing: list[Standing]
) -> None:
    changes = compare(shown, standing, NOW_S)
    doubted = {*changes.withdraw, *(each.leave for each in standing if each.withdrawn)}
    certain = [each for each in standing if each.leave not in doubted]
    for person in ("ada", "bob"):
        booked = seconds(list(changes.book), person)
        assert booked | seconds(certain, person) == seconds(shown, person)


@given(shown_leaves(), standing_leaves())
def test_withdrawn_is_only_what_is_not_shown_any_more_and_nothing_twice(
    shown: list[Shown], standing: list[Standing]
) -> None:
    for seq in compare(shown, standing, NOW_S).withdraw:
        assert not standing[seq].withdrawn
        left = seconds([standing[seq]], standing[seq].person)
        assert not left <= seconds(shown, standing[seq].person)


@given(shown_leaves())
def test_feed_that_has_not_changed_changes_nothing(shown: list[Shown]) -> None:
    booked = compare(shown, [], NOW_S).book
    standing = [
        Standing(leave=seq, person=each.person, starts_s=each.starts_s, ends_s=each.ends_s)
        for seq, each in enumerate(booked)
    ]
    again = compare(shown, standing, NOW_S)
    assert (again.book, again.withdraw) == ((), ())
