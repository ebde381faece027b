"""Refusals on record: the first at once, the rest counted, and few entries whoever asks for whatever."""

from __future__ import annotations

import random
from typing import Any

import pytest

from appliance.authority.denials import INTERVAL_MS, MAX_TRACKED, Denials
from appliance.authority.events import Event
from support.authority import NOW_MS, identity

RULES = ("default-deny", "narrowing", "host.certify", "host", "customer")


def data(event: Event) -> dict[str, Any]:
    return dict(event.data)


def counts(events: list[Event]) -> list[tuple[str, int]]:
    return [(data(event)["identity"]["subject"], data(event)["count"]) for event in events]


def test_first_refusal_is_written_at_once_and_those_like_it_are_counted() -> None:
    denials = Denials()
    first = denials.count(identity(), {"n": 0}, "narrowing", now_ms=NOW_MS)
    assert first is not None
    assert counts([first]) == [("alice", 1)]
    for number in range(1, 5):
        assert denials.count(identity(), {"n": number}, "narrowing", now_ms=NOW_MS + number) is None
    assert denials.take_due(NOW_MS + INTERVAL_MS - 1) == []
    (later,) = denials.take_due(NOW_MS + INTERVAL_MS)
    assert counts([later]) == [("alice", 4)]
    assert (data(later)["first_ms"], data(later)["last_ms"]) == (NOW_MS + 1, NOW_MS + 4)


@pytest.mark.parametrize("subjects", [1, MAX_TRACKED, 50_000])
def test_flood_of_refusals_leaves_few_entries_and_none_is_lost(subjects: int) -> None:
    denials, chance, asked = Denials(), random.Random(subjects), 50_000
    written: list[Event] = []
    for number in range(asked):
        now_ms = NOW_MS + number  # fifty seconds, a thousand a second
        who = identity(f"invented-{chance.randrange(subjects)}")
        event = denials.count(who, {"n": number}, chance.choice(RULES), now_ms=now_ms)
        written += [event] if event else []
        if number % INTERVAL_MS == INTERVAL_MS - 1:
            written += denials.take_due(now_ms)
    written += denials.take_due(NOW_MS + asked + 2 * INTERVAL_MS)
    assert sum(count for _, count in counts(written)) == asked
    intervals = asked // INTERVAL_MS + 1
    assert len(written) <= 2 * (MAX_TRACKED + len(RULES)) * intervals
    assert len(denials._runs) <= MAX_TRACKED + len(RULES)


def test_refusals_beyond_those_told_apart_are_counted_by_rule_and_show_the_last() -> None:
    denials = Denials()
    for number in range(MAX_TRACKED):
        assert denials.count(identity(f"known-{number}"), {}, "narrowing", now_ms=NOW_MS)
    assert denials.count(identity("first"), {"n": 1}, "narrowing", now_ms=NOW_MS)
    assert denials.count(identity("second"), {"n": 2}, "narrowing", now_ms=NOW_MS) is None
    assert denials.count(identity("third"), {"n": 3}, "narrowing", now_ms=NOW_MS) is None
    assert denials.count(identity("known-0"), {}, "narrowing", now_ms=NOW_MS) is None
    due = denials.take_due(NOW_MS + INTERVAL_MS)
    assert counts(due) == [("known-0", 1), ("third", 2)]
    assert data(due[1])["request"] == {"n": 3}


def test_identity_whose_refusals_have_stopped_makes_room() -> None:
    denials = Denials()
    for number in range(MAX_TRACKED):
        denials.count(identity(f"known-{number}"), {}, "narrowing", now_ms=NOW_MS)
    assert denials.take_due(NOW_MS + INTERVAL_MS) == []
    event = denials.count(identity("new"), {}, "narrowing", now_ms=NOW_MS + INTERVAL_MS)
    assert event is not None
    assert denials.count(identity("newer"), {}, "narrowing", now_ms=NOW_MS + INTERVAL_MS) is not None
