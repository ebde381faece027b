"""Token buckets: never more than burst and rate allow, no refusal without need, bounded memory."""

from __future__ import annotations

from itertools import accumulate, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.buckets import Rate, take
from appliance.limiter import Limiter

RATES = st.builds(Rate, per_s=st.floats(0.01, 1_000), burst=st.integers(1, 50))
# Steps in time and how much is asked for at each.
ATTEMPTS = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 50)), max_size=25)
START_S = 1_000_000.0
HAIR = 1e-5


def attempt(rate: Rate, attempts: list[tuple[float, int]]) -> list[tuple[float, int, float]]:
    """Return what was asked for: when, how much, and how long there was to wait (0: it was taken)."""
    full_s: float | None = None
    moments = accumulate((step for step, _ in attempts), initial=START_S)
    tried = []
    for now_s, (_, count) in zip(list(moments)[1:], attempts, strict=True):
        taken = take(rate, full_s, now_s, min(count, rate.burst))
        full_s = taken.full_s
        tried.append((now_s, min(count, rate.burst), taken.wait_s))
    return tried


@given(RATES, ATTEMPTS)
def test_no_span_of_time_has_more_than_burst_and_rate_allow(
    rate: Rate, attempts: list[tuple[float, int]]
) -> None:
    granted = [(now_s, count) for now_s, count, wait_s in attempt(rate, attempts) if wait_s == 0]
    for first, last in combinations(range(len(granted)), 2):
        span_s = granted[last][0] - granted[first][0]
        total = sum(count for _, count in granted[first : last + 1])
        assert total <= rate.burst + rate.per_s * (span_s + HAIR) + HAIR


@given(RATES, ATTEMPTS)
def test_refused_attempt_takes_nothing_and_succeeds_after_the_wait(
    rate: Rate, attempts: list[tuple[float, int]]
) -> None:
    full_s: float | None = None
    now_s = START_S
    for step_s, wanted in attempts:
        now_s, count = now_s + step_s, min(wanted, rate.burst)
        taken = take(rate, full_s, now_s, count)
        if taken.wait_s:
            assert taken.full_s == full_s
            assert take(rate, full_s, now_s + taken.wait_s, count).wait_s == 0
            assert take(rate, full_s, now_s + 0.9 * taken.wait_s - HAIR, count).wait_s > 0
        full_s = taken.full_s


@given(RATES)
def test_full_bucket_holds_its_burst_and_not_one_more(rate: Rate) -> None:
    taken = take(rate, None, START_S, rate.burst)
    assert taken.wait_s == 0
    one_more = take(rate, taken.full_s, START_S)
    assert one_more.wait_s == pytest.approx(1 / rate.per_s, abs=HAIR)


@given(RATES, st.floats(0, 1e6))
def test_clock_set_back_keeps_nobody_out_for_longer_than_a_bucket_takes_to_fill(
    rate: Rate, back_s: float
) -> None:
    emptied = take(rate, None, START_S, rate.burst)
    assert take(rate, emptied.full_s, START_S - back_s).wait_s <= rate.filling_s + HAIR


@pytest.mark.parametrize("count", [0, -1, 11])
def test_more_than_a_bucket_holds_cannot_be_asked_for(count: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 10"):
        take(Rate(per_s=1, burst=10), None, START_S, count)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 3)), max_size=60))
def test_limiter_decides_for_each_key_as_its_own_bucket_does(asked: list[tuple[str, float]]) -> None:
    rate = Rate(per_s=0.5, burst=3)
    limiter, buckets, now_s = Limiter(rate), dict[str, float](), START_S
    for key, step_s in asked:
        now_s += step_s
        expected = take(rate, buckets.get(key), now_s)
        buckets[key] = expected.full_s
        assert limiter.take(key, now_s) == pytest.approx(expected.wait_s)


@given(st.integers(1, 30), st.lists(st.integers(0, 100), max_size=200))
def test_limiter_never_remembers_more_keys_than_it_may(most: int, keys: list[int]) -> None:
    limiter = Limiter(Rate(per_s=0.001, burst=5), max_keys=most)
    for number, key in enumerate(keys):
        limiter.take(str(key), START_S + number)
        assert len(limiter) <= most


def test_limiter_forgets_who_has_a_full_bucket_again() -> None:
    limiter = Limiter(Rate(per_s=1, burst=5))
    for number in range(1_000):
        limiter.take(f"once-{number}", START_S + number / 1_000)
    for number in range(1_000):
        limiter.take("always", START_S + 10 + number)
    assert len(limiter) == 1
