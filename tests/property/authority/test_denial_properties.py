"""Whatever may be asked, and whoever may ask: a refusal of it has an entry."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.authority.issuing.denials import Denials
from appliance.authority.operations.callers import MAX_TEXT, MAX_TEXTS
from appliance.identity.identity import MAX_SUBJECT, Identity
from appliance.networks import MAX_NETWORKS
from appliance.requests import MAX_KEY_LINE, MAX_NAMES
from audit.entry import FIRST_PREV, MAX_INTEGER, canonical_json, encode_entry
from support.authority import NOW_MS

# Of one byte to six in JSON.
LETTERS = st.sampled_from('a"\u00e4\u20ac\U0001f600\x01')
PRINTABLE = st.sampled_from('a"\u00e4\u20ac\U0001f600')


def texts(letter: str, length: int, number: int) -> list[str]:
    return [f"{each:04}" + letter * (length - 4) for each in range(number)]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, object]:
    request: dict[str, object] = {"public_key": "k" * draw(st.sampled_from([80, MAX_KEY_LINE]))}
    for name, length, most in (
        ("hosts", 253, MAX_NAMES),
        ("host_groups", 63, MAX_NAMES),
        ("logins", 33, MAX_NAMES),
        ("source", 43, MAX_NETWORKS),
        ("permit", 20, 5),
    ):
        if number := draw(st.integers(0, most) | st.just(most)):
            request[name] = texts("n", length, number)
    if reason := draw(LETTERS) * draw(st.sampled_from([0, 20, 500])):
        request["reason"] = reason
    return request


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    groups = draw(st.integers(0, MAX_TEXTS // 2) | st.just(MAX_TEXTS // 2))
    claims = texts(draw(LETTERS), draw(st.integers(4, MAX_TEXT)), draw(st.integers(0, MAX_TEXTS // 4)))
    return Identity(
        provider="p" * 32,
        subject=draw(PRINTABLE) * draw(st.integers(1, MAX_SUBJECT)),
        kind="user",
        groups=frozenset(texts(draw(LETTERS), draw(st.integers(4, MAX_TEXT)), groups)),
        claims=tuple(("c" * 40, claim) for claim in claims),
        authenticated_ms=NOW_MS,
        source_address=draw(LETTERS) * draw(st.integers(1, MAX_TEXT)),
    )


@given(identities(), requests(), st.none() | identities())
def test_refusal_has_an_entry_and_what_it_leaves_out_is_the_ends_of_lists(
    identity: Identity, request: dict[str, object], person: Identity | None
) -> None:
    event = Denials().count(identity, request, "x" * 80, now_ms=NOW_MS, on_behalf_of=person)
    assert event is not None
    encode_entry(kind=event.kind, v=1, data=event.data, prev=FIRST_PREV, seq=MAX_INTEGER, time_ms=MAX_INTEGER)
    recorded: dict[str, Any] = dict(event.data)
    whole: dict[str, Any] = {"identity": identity.to_data(), "request": request}
    if person is not None:
        whole["on_behalf_of"] = person.to_data()
    shortened = recorded.get("shortened", {})
    for name, data in whole.items():
        if name not in shortened:
            assert recorded[name] == data
            continue
        assert shortened[name] == hashlib.sha256(canonical_json(data)).hexdigest()
        assert recorded[name].keys() == data.keys()
        assert recorded[name] != data
        for member, value in recorded[name].items():
            same = data[member][: len(value)] if isinstance(value, list) else data[member]
            assert value == same
        assert name != "request" or [] not in recorded[name].values()
