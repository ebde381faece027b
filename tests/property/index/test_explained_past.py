"""A past moment is explained as the authority, whose state was that moment's, would have explained it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.authority.fold.state import State
from appliance.authority.issuing.explaining import answer, find_subjects, gather
from appliance.clock import format_rfc3339_ms
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.identity.identity import Identity
from appliance.index.explaining import explain_past
from appliance.index.projection import Projection
from appliance.index.queries import Index
from audit.entry import Entry
from support.histories import HOSTS, LOGINS, START_MS, SUBJECTS, histories

CAROL: Final = Identity(provider="oidc", subject="carol", kind="user", authenticated_ms=0)
# All but certificates, of which histories have some that no state would take.
KINDS: Final = ("log", "ca", "policy", "host", "lock", "leave")

questions = st.fixed_dictionaries(
    {"subject": st.sampled_from([*(f"oidc:{name}" for name in SUBJECTS), "mtls:dora", "alice"])},
    optional={
        "host": st.sampled_from(HOSTS),
        "host_group": st.sampled_from(["web", "eu", "beta"]),
        "login": st.sampled_from(LOGINS),
        "groups": st.just(["oidc:team"]),
    },
)


def fold(entries: Sequence[Entry], at_ms: int) -> State:
    state = State()
    for entry in entries:
        if entry.time_ms <= at_ms and entry.kind.partition(".")[0] in KINDS:
            state.apply(entry)
    return state


def expected(state: State, body: ExplainBody, at_s: int) -> dict[str, Any] | None:
    try:
        subjects = find_subjects(state.in_force().policy, body, CAROL)
        return answer(gather(state, subjects, body, at_s=at_s, everyone=True, knows_groups=False))
    except Refusal:
        return None


def found(entries: Sequence[Entry], body: ExplainBody, at_ms: int) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as directory:
        projection = Projection.open(Path(directory) / "index.db")
        projection.apply(entries)
        try:
            with Index(Path(directory) / "index.db").snapshot() as snapshot:
                return explain_past(snapshot, CAROL, body, at_ms)
        except Refusal:
            return None
        finally:
            projection.close()


backs = st.integers(0, 6) | st.integers(0, 30)
afters_ms = st.sampled_from((-1, 0, 0, 1, 500, 1_000, 61_000))


@given(histories(), questions, backs, afters_ms)
@settings(max_examples=80, deadline=None)
def test_past_is_explained_by_the_state_of_the_moment(
    entries: list[Entry], asked: dict[str, Any], back: int, after_ms: int
) -> None:
    at_ms = max(START_MS, entries[-1 - back % len(entries)].time_ms + after_ms)
    body = ExplainBody(**asked, at=format_rfc3339_ms(at_ms))
    told = found(entries, body, at_ms)
    wanted = expected(fold(entries, at_ms), body, at_ms // 1000)
    if told is None or wanted is None:
        assert told == wanted
        return
    assert told.pop("settled") == (at_ms < entries[-1].time_ms)
    assert told | {"ledger_size": 0} == wanted | {"ledger_size": 0}


def test_what_is_drawn_is_explained_in_all_ways() -> None:
    seen: Counter[str] = Counter()

    @given(histories(), questions, backs)
    @settings(max_examples=250, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    def draw(entries: list[Entry], asked: dict[str, Any], back: int) -> None:
        at_ms = entries[-1 - back % len(entries)].time_ms
        told = expected(fold(entries, at_ms), ExplainBody(**asked), at_ms // 1000)
        for each in () if told is None else told["grants"]:
            seen.update([each["verdict"], *(obstacle["rule"] for obstacle in each["obstacles"])])

    draw()
    assert min(seen[name] for name in ("gives", "refuses", "lock", "leave", "schedule")) > 1, seen
