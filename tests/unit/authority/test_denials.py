"""Refusals on record: the first at once, the rest counted, and few entries whoever asks for whatever."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest

from appliance.authority.events import Event
from appliance.authority.issuing.denials import INTERVAL_MS, MAX_TRACKED, Denials
from appliance.authority.issuing.shortening import MAX_IDENTITY, MAX_LIST, MAX_REQUEST
from audit.entry import MAX_ENTRY_BYTES, canonical_json
from audit.errors import TooLarge
from support.authority import NOW_MS, identity

RULES = ("default-deny", "narrowing", "host.certify", "host", "customer")

# What one request may name: 75 kB, more than an entry holds.
LONG: dict[str, object] = {
    "hosts": [f"{number:03}" + "h" * 224 for number in range(256)],
    "host_groups": [f"{number:03}" + "g" * 60 for number in range(256)],
    "public_key": "ssh-ed25519 AAAA",
}


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


def test_long_request_is_recorded_in_part_and_known_by_its_sha256() -> None:
    assert len(canonical_json(LONG)) > MAX_ENTRY_BYTES
    event = Denials().count(identity(), LONG, "narrowing", now_ms=NOW_MS)
    assert event is not None
    assert data(event)["shortened"] == {"request": hashlib.sha256(canonical_json(LONG)).hexdigest()}
    request = data(event)["request"]
    assert (request["public_key"], request.keys()) == (LONG["public_key"], LONG.keys())
    for name, most in (("hosts", 8), ("host_groups", 31)):
        whole: Any = LONG[name]
        assert request[name] == whole[:most]
        assert len(canonical_json(request[name])) <= MAX_LIST < len(canonical_json(whole[: most + 1]))


def test_request_and_identity_of_ordinary_size_are_recorded_whole() -> None:
    request: dict[str, object] = {"reason": "r" * (MAX_REQUEST - len(canonical_json({"reason": ""})))}
    bare = identity("alice", groups=frozenset({"mtls:"}))
    group = "mtls:" + "g" * (MAX_IDENTITY - len(canonical_json(bare.to_data())))
    event = Denials().count(identity("alice", groups=frozenset({group})), request, "rule", now_ms=NOW_MS)
    assert event is not None
    assert data(event)["request"] == request
    assert data(event)["identity"]["groups"] == [group]
    assert "shortened" not in data(event)


def test_groups_of_requester_and_delegate_are_recorded_as_far_as_they_fit() -> None:
    person = identity("ada", groups=frozenset(f"oidc:{number:0200}" for number in range(1_000)))
    delegate = identity("portal", groups=frozenset(f"mtls:{number:0200}" for number in range(1_000)))
    event = Denials().count(delegate, LONG, "delegates", now_ms=NOW_MS, on_behalf_of=person)
    assert event is not None
    assert data(event)["shortened"].keys() == {"identity", "on_behalf_of", "request"}
    for name, whole in (("identity", delegate), ("on_behalf_of", person)):
        assert data(event)["shortened"][name] == hashlib.sha256(canonical_json(whole.to_data())).hexdigest()
        assert data(event)[name]["groups"] == sorted(whole.groups)[:9]
        assert data(event)[name]["subject"] == whole.subject


def test_refusal_without_an_entry_is_no_first_one_and_the_next_is_written_at_once() -> None:
    denials = Denials()
    with pytest.raises(TooLarge):
        denials.count(identity(), {"n": "x" * MAX_ENTRY_BYTES}, "narrowing", now_ms=NOW_MS)
    event = denials.count(identity(), {"n": 1}, "narrowing", now_ms=NOW_MS)
    assert event is not None
    assert counts([event]) == [("alice", 1)]


def test_count_without_an_entry_spoils_no_other_and_is_written_with_the_next_request_that_has_one() -> None:
    denials = Denials()
    for subject in ("alice", "bob", "carol"):
        denials.count(identity(subject), {}, "narrowing", now_ms=NOW_MS)
        denials.count(identity(subject), {}, "narrowing", now_ms=NOW_MS + 1)
    denials.count(identity("bob"), {"n": "x" * MAX_ENTRY_BYTES}, "narrowing", now_ms=NOW_MS + 2)
    assert counts(denials.take_due(NOW_MS + INTERVAL_MS)) == [("alice", 1), ("carol", 1)]
    assert denials.count(identity("bob"), {}, "narrowing", now_ms=NOW_MS + INTERVAL_MS + 3) is None
    (late,) = denials.take_due(NOW_MS + INTERVAL_MS + 4)
    assert counts([late]) == [("bob", 3)]
    assert (data(late)["first_ms"], data(late)["last_ms"]) == (NOW_MS + 1, NOW_MS + INTERVAL_MS + 3)
