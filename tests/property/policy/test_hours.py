"""Hours: the arithmetic agrees with whoever looks at the clock on the wall, also when that is changed."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.identity.identity import Identity
from appliance.policy.circumstances import Away, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Denial, Profile, evaluate_user
from appliance.policy.schedules import Calendar, Schedule
from appliance.policy.tables import Customer, Grant, HostGroup, Who
from appliance.requests import UserRequest
from support.slow_hours import day_of, is_open
from support.ssh_examples import public_key

STEP_S = 300
DAY_S = 86_400
# Clocks that change by an hour, by half an hour, at midnight, in either hemisphere, and that never do.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "America/Havana",
    "Pacific/Auckland",
    "Asia/Kathmandu",
    "UTC",
)
# Changes of these clocks in 2026, in UTC, and some ordinary moment.
CHANGES = (
    1_774_746_000,  # Berlin, 29 March, 01:00
    1_792_890_000,  # Berlin, 25 October, 01:00
    1_772_953_200,  # New York, 8 March, 07:00
    1_793_512_800,  # New York, 1 November, 06:00
    1_775_314_800,  # Lord Howe, 4 April, 15:00
    1_774_735_200,  # Beirut, 28 March, 22:00
    1_792_875_600,  # Beirut, 24 October, 21:00
    1_775_311_200,  # Auckland, 4 April, 14:00
    1_781_000_100,
)
times = st.integers(0, 287).map(lambda n: f"{n // 12:02}:{n % 12 * 5:02}")
day_words = st.sampled_from(["mon", "mon-fri", "fri-mon", "sat,sun", "mon-sun", "tue,thu-fri", "sun"])


def windows() -> st.SearchStrategy[str]:
    ends = st.tuples(times, times | st.just("24:00")).filter(lambda pair: pair[0] != pair[1])
    return st.builds(lambda days, pair: f"{days} {pair[0]}-{pair[1]}", day_words, ends)


moments = st.builds(
    lambda change, steps: change + steps * STEP_S, st.sampled_from(CHANGES), st.integers(-600, 600)
)
holidays = st.sets(st.integers(-3, 3), max_size=4)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[str], str]:
    return draw(st.lists(windows(), min_size=1, max_size=3, unique=True)), draw(st.sampled_from(ZONES))


def build(texts: list[str], zone: str, free: frozenset[date], **limits: object) -> Policy:
    schedule = Schedule(name="s", timezone=zone, windows=texts, holidays="DE")  # type: ignore[arg-type]
    fields = {"as": ["root"], "on": ["web"], "who": Who(users=("mtls:alice",)), "when": "s", **limits}
    return Policy(
        customers={"acme": Customer(name="acme", user_ca="users", host_ca="hosts")},
        host_groups={"web": HostGroup(name="web", customer="acme", match={"role": "web"})},
        schedules={"s": schedule},
        calendars={"DE": Calendar(name="DE", first_year=2025, last_year=2028, dates=free)},
        grants=(FiledGrant(file="policy.toml", grant=Grant(name="g", **fields)),),  # type: ignore[arg-type]
    )


def decide(policy: Policy, now_s: int, leaves: tuple[Away, ...] = (), **asked: int) -> Profile | Denial:
    identity = Identity(provider="mtls", subject="alice", kind="user", authenticated_ms=0)
    request = UserRequest(public_key=public_key("ed25519", 1), **asked)  # type: ignore[arg-type]
    outcome = evaluate_user(
        policy, {}, identity, request, Circumstances(leaves=leaves), now_s=now_s, max_ttl_s=31 * DAY_S
    )
    return outcome if isinstance(outcome, Denial) else outcome[0]


@given(schedules(), moments, holidays)
@settings(max_examples=80, deadline=None)
def test_open_span_is_as_long_as_the_clock_on_the_wall_shows_its_times(
    schedule: tuple[list[str], str], moment_s: int, around: set[int]
) -> None:
    texts, zone = schedule
    free = frozenset(day_of(zone, moment_s) + timedelta(days=each) for each in around)
    timetable = build(texts, zone, free).timetables["s"]
    span = timetable.span(moment_s, moment_s + DAY_S)
    assert (span is not None) == is_open(texts, zone, free, moment_s)
    if span is None:
        return
    first, last = max(span.opens_s, moment_s - DAY_S), min(span.closes_s, moment_s + DAY_S)
    assert all(is_open(texts, zone, free, each) for each in range(first, last, STEP_S))
    if span.opens_s > moment_s - 6 * DAY_S:  # what is older may be cut
        assert not is_open(texts, zone, free, span.opens_s - 1)
    if span.closes_s < moment_s + DAY_S:
        assert not is_open(texts, zone, free, span.closes_s)


@given(schedules(), moments, holidays)
@settings(max_examples=80, deadline=None)
def test_next_opening_is_the_first_moment_at_which_the_clock_shows_a_time_of_the_schedule(
    schedule: tuple[list[str], str], moment_s: int, around: set[int]
) -> None:
    texts, zone = schedule
    free = frozenset(day_of(zone, moment_s) + timedelta(days=each) for each in around)
    opens_s = build(texts, zone, free).timetables["s"].next_opening(moment_s)
    assert opens_s is not None
    assert is_open(texts, zone, free, opens_s)
    for each in range(moment_s, min(opens_s, moment_s + 2 * DAY_S), STEP_S):
        assert not is_open(texts, zone, free, each)
    assert opens_s == moment_s or not is_open(texts, zone, free, opens_s - 1)


offsets = st.integers(-3 * 288, 3 * 288).map(lambda steps: steps * STEP_S)
leaves = st.lists(st.tuples(offsets, st.integers(1, 200)), max_size=2)


@given(
    schedules(),
    moments,
    holidays,
    st.none() | st.integers(-2, 2),
    st.none() | st.integers(-2, 2),
    leaves,
    st.sampled_from([None, 30, 600, 3 * 3600]),
    st.none() | offsets,
)
@settings(max_examples=150, deadline=None)
def test_certificate_lies_inside_hours_and_days_and_outside_leave_and_ends_no_sooner_than_it_must(
    schedule: tuple[list[str], str],
    now_s: int,
    around: set[int],
    first: int | None,
    last: int | None,
    away: list[tuple[int, int]],
    ttl_s: int | None,
    ahead_s: int | None,
) -> None:
    texts, zone = schedule
    today = day_of(zone, now_s)
    free = frozenset(today + timedelta(days=each) for each in around)
    first_day = None if first is None else today + timedelta(days=first)
    last_day = None if last is None else today + timedelta(days=last)
    limits = {"from": first_day, "until": last_day}
    policy = build(texts, zone, free, ttl="8h", **{k: v for k, v in limits.items() if v is not None})
    on_leave = tuple(
        Away(starts_s=now_s + start, ends_s=now_s + start + steps * STEP_S) for start, steps in sorted(away)
    )
    asked = {} if ttl_s is None else {"ttl_s": ttl_s}
    start_s = now_s
    if ahead_s is not None:
        asked["start_s"] = now_s + ahead_s
        start_s = max(now_s, now_s + ahead_s)

    def allowed(moment_s: int) -> bool:
        day = day_of(zone, moment_s)
        return (
            is_open(texts, zone, free, moment_s)
            and (first_day is None or first_day <= day)
            and (last_day is None or day <= last_day)
            and not any(leave.starts_s <= moment_s < leave.ends_s for leave in on_leave)
        )

    outcome = decide(policy, now_s, on_leave, **asked)
    if isinstance(outcome, Denial):
        if start_s <= now_s + DAY_S:
            # All that is measured here are steps: what is open at all is so for longer than a minute.
            assert not allowed(start_s), outcome
        if outcome.next_s is not None:
            assert outcome.next_s > now_s
            assert allowed(outcome.next_s)
        return
    assert outcome.valid_before - outcome.valid_after >= min(60, ttl_s or 60)
    begins_s = start_s
    while not allowed(begins_s):
        begins_s += STEP_S
    assert begins_s - 60 <= outcome.valid_after <= begins_s
    assert begins_s == start_s or ahead_s is not None
    assert all(allowed(each) for each in range(outcome.valid_after, outcome.valid_before, 60))
    longest_s = begins_s + min(8 * 3600, ttl_s or 8 * 3600)
    assert outcome.valid_before == longest_s or not allowed(outcome.valid_before)
    assert outcome.valid_before <= longest_s
