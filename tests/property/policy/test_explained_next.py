"""Explanations agree with decisions: on the verdict, where a certificate ends, and when there is the next."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.identity.identity import Identity
from appliance.policy.circumstances import Approval, Away, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Denial, Profile, evaluate_user
from appliance.policy.explain import Question, explain
from appliance.policy.schedules import Schedule
from appliance.policy.tables import Customer, Grant, Group, HostGroup, Who
from appliance.requests import UserRequest
from support.ssh_examples import public_key

# Everything that opens or shuts does so at whole steps: Monday, 2025-11-24, at 16:00 in UTC is one.
NOW_S: Final = 1_764_000_000
STEP_S: Final = 600
AHEAD: Final = 3 * 86_400 // STEP_S
MAX_TTL_S: Final = 31 * 86_400
ALICE: Final = Identity(provider="mtls", subject="alice", kind="user", authenticated_ms=0)
REQUEST: Final = UserRequest(public_key=public_key("ed25519", 1), host_groups=("web",), logins=("root",))

moments = st.integers(-12, 2 * 144).map(lambda steps: NOW_S + steps * STEP_S)
schedules = st.builds(
    lambda windows, zone: Schedule(name="s", timezone=zone, windows=tuple(windows)),
    st.lists(
        st.sampled_from(["mon-fri 08:00-16:30", "tue 22:00-06:00", "mon 23:00-00:30", "tue,wed 10:00-10:10"]),
        min_size=1,
        max_size=2,
        unique=True,
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)
leaves = st.lists(st.tuples(moments, st.integers(1, 150)), max_size=1).map(
    lambda drawn: tuple(Away(starts_s=at_s, ends_s=at_s + steps * STEP_S) for at_s, steps in drawn)
)
grants = st.lists(
    st.fixed_dictionaries(
        {"ttl": st.sampled_from(["1m", "1h", "8h"]), "when": st.just("s")},
        optional={
            "from": st.sampled_from(["2025-11-24", "2025-11-26"]),
            "until": st.sampled_from(["2025-11-24", "2025-11-26"]),
            "require": st.just({"approvals": 1, "approvers": ("owners",)}),
        },
    ),
    min_size=1,
    max_size=2,
) | st.just([{"ttl": "1h", "when": "s", "require": {"approvals": 1, "approvers": ("owners",)}}])


def build(schedule: Schedule, drawn: list[dict[str, Any]]) -> Policy:
    named = {"who": Who(users=("mtls:alice",)), "on": ("web",), "as": ("root",)}
    return Policy(
        customers={"acme": Customer(name="acme", user_ca="users", host_ca="hosts")},
        host_groups={"web": HostGroup(name="web", customer="acme", match={"role": "web"})},
        groups={"owners": Group(name="owners", members=("mtls:olga",))},
        schedules={"s": schedule},
        grants=tuple(
            FiledGrant(file="p.toml", grant=Grant(name=f"g{number}", **named, **each))  # type: ignore[arg-type]
            for number, each in enumerate(drawn)
        ),
    )


def decide(policy: Policy, around: Circumstances, at_s: int) -> Profile | None:
    outcome = evaluate_user(policy, {}, ALICE, REQUEST, around, now_s=at_s, max_ttl_s=MAX_TTL_S)
    return None if isinstance(outcome, Denial) else outcome[0]


@given(schedules, grants, leaves, st.none() | st.integers(1, 90), moments)
@settings(max_examples=120, deadline=None)
def test_explanation_says_what_would_be_decided_then_and_what_next(
    schedule: Schedule, drawn: list[dict[str, Any]], away: tuple[Away, ...], lasts: int | None, at_s: int
) -> None:
    policy, ends_s = build(schedule, drawn), at_s + (lasts or 0) * STEP_S
    approvals = tuple(
        Approval(seq=1, grant=f"g{number}", given_by=frozenset({"mtls:olga"}), ends_s=ends_s)
        for number in range(len(drawn))
    )
    around = Circumstances(leaves=away, approvals=approvals)
    asked = Question(identity=ALICE, at_s=at_s, host_group="web", login="root", knows_groups=True)
    explanation = explain(policy, asked, around, max_ttl_s=MAX_TTL_S)
    profile = decide(policy, around, at_s)
    ends = [each.valid_before for each in explanation.grants if each.valid_before is not None]
    assert (max(ends) if ends else None) == (None if profile is None else profile.valid_before)
    if profile is not None:
        assert explanation.next_s is None
        return
    steps = (at_s + step * STEP_S for step in range(AHEAD))
    first = next((each for each in steps if decide(policy, around, each) is not None), None)
    if first is None:
        assert explanation.next_s is None or explanation.next_s >= at_s + AHEAD * STEP_S
    else:
        assert explanation.next_s == first
