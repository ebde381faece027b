"""The index lists the leave that the state holds, whatever is booked, withdrawn and cancelled, and when."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.authority.fold.leaves import Leaves
from appliance.index.leave import LeaveFilter, find_whose, list_leaves
from appliance.index.projection import Projection
from appliance.index.queries import Index
from appliance.index.recorded import read_entry
from appliance.policy.document import Policy
from appliance.policy.tables import Person
from support.histories import START_MS, History, begin, identity, ordered

START_S = START_MS // 1000
PERSONS = ("ada", "oidc:bob")
# ada as she was when her leave was booked, without her account and its holder, and called something else.
POLICIES = tuple(
    Policy(persons={name: Person(name=name, identities=accounts) for name, accounts in persons.items()})
    for persons in (
        {"ada": ("oidc:ada", "ldap:ada")},
        {"ada": ("ldap:ada",), "bob": ("oidc:bob", "oidc:ada")},
        {"al": ("oidc:ada", "oidc:bob")},
        {},
    )
)
FEEDS: tuple[dict[str, Any], ...] = ({}, {"source": {"feed": "holidays", "uid": "1"}})


@st.composite
def leave_histories(draw: st.DrawFn) -> History:
    history = begin()
    for _ in range(draw(st.integers(1, 12))):
        booked = [entry.seq for entry in history.entries if entry.kind == "leave.booked"]
        step = draw(st.sampled_from(("book", "book", "withdraw", "cancel", "shorten")))
        if step == "book" or not booked:
            history.add("leave.booked", draw(_bookings()))
            continue
        leave = draw(st.sampled_from(booked))
        if step == "withdraw":
            history.add("leave.withdrawn", {"leave": leave, "by": identity("carol")})
        else:
            ends: dict[str, Any] = {} if step == "cancel" else {"ends_s": START_S + draw(st.integers(1, 3))}
            history.add("leave.cancelled", {"leave": leave, **ends, **ordered("leave.cancel")})
    return history


@st.composite
def _bookings(draw: st.DrawFn) -> dict[str, Any]:
    person = draw(st.sampled_from(PERSONS))
    starts_s = START_S + draw(st.integers(-2, 3))
    return {
        "person": person,
        "identities": ["oidc:ada"] if person == "ada" else [person],
        "starts_s": starts_s,
        "ends_s": starts_s + draw(st.integers(1, 4)),
        "by": identity("carol"),
        **draw(st.sampled_from(FEEDS)),
    }


@given(
    leave_histories(),
    st.integers(-1, 7),
    st.sampled_from(POLICIES),
    st.sampled_from(("oidc:ada", "ldap:ada", "oidc:bob")),
)
@settings(max_examples=60, deadline=None)
def test_index_lists_what_the_state_holds_and_of_somebody_what_decisions_heed(
    history: History, after_s: int, policy: Policy, who: str
) -> None:
    state = Leaves()
    for entry in history.entries:
        data: Any = entry.data
        match entry.kind:
            case "leave.booked":
                state.book(entry.seq, data)
            case "leave.withdrawn":
                state.withdraw(data["leave"])
            case "leave.cancelled":
                state.cancel(data["leave"], data.get("ends_s"))
    now_s = START_S + after_s
    held = {
        (each.seq, each.person, each.starts_s, each.ends_s, each.withdrawn)
        for each in state
        if each.ends_s > now_s
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index.db"
        projection = Projection.open(path)
        projection.apply([read_entry(entry.raw) for entry in history.entries])
        with Index(path).snapshot() as snapshot:
            records = list_leaves(snapshot, LeaveFilter(), now_s=now_s, cursor=None, limit=100).records
            pending = list_leaves(snapshot, LeaveFilter(pending=True), now_s=now_s, cursor=None, limit=100)
            wanted = LeaveFilter(whose=find_whose(policy, who))
            his = list_leaves(snapshot, wanted, now_s=now_s, cursor=None, limit=100).records
        projection.close()
    listed = {
        (each.seq, each.person, each.starts_s, each.ends_s, each.withdrawn_ms is not None) for each in records
    }
    assert listed == held
    assert {each.seq for each in his} == {
        each.seq for each in state if each.ends_s > now_s and each.is_of(policy, policy.who_is(who))
    }
    assert {each.seq for each in pending.records} == {seq for seq, *_, withdrawn in held if withdrawn}
