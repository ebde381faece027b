"""The rate of one identity: all of a batch or nothing, others untouched, and a time to come again."""

from __future__ import annotations

import pytest

from appliance.authority.rates import Rates
from appliance.buckets import Rate
from appliance.errors import Refusal


class Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_burst_is_let_in_and_the_next_is_told_when_to_come_again() -> None:
    clock = Clock()
    rates = Rates(Rate(per_s=0.5, burst=3), clock_s=clock)
    for _ in range(3):
        rates.charge("api:ci")
    with pytest.raises(Refusal, match=r"api:ci may ask for 0\.5 certificates a second") as refused:
        rates.charge("api:ci")
    assert (refused.value.slug, refused.value.members) == ("rate-limited", {"retry_after_s": 2})
    rates.charge("api:other")
    clock.now_s += 2
    rates.charge("api:ci")


def test_batch_is_let_in_whole_or_not_at_all() -> None:
    rates = Rates(Rate(per_s=10, burst=1_000), clock_s=Clock())
    rates.charge("api:ci", 600)
    with pytest.raises(Refusal) as refused:
        rates.charge("api:ci", 401)
    assert refused.value.members["retry_after_s"] == 1
    rates.charge("api:ci", 400)


def test_no_rate_is_no_limit() -> None:
    rates = Rates(None, clock_s=Clock())
    for _ in range(10_000):
        rates.charge("api:ci", 1_000)
