"""A shelf never hides what a question is about, and its bounds are the tightest that its times allow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.index.shelves import Shelf, shelf_number
from appliance.ssh.content import CertificateType

lifetimes_s = st.integers(-5, 200)


@given(st.lists(lifetimes_s, min_size=1), st.integers(1_000, 1_300), st.integers(0, 999))
def test_bounds_leave_out_nothing_and_no_millisecond_too_much(
    lived_s: list[int], at_s: int, within_ms: int
) -> None:
    shelf = Shelf(number=0, shortest_s=lived_s[0], longest_s=lived_s[0])
    for lifetime_s in lived_s:
        shelf = shelf.with_one(lifetime_s)
        assert shelf.takes(lifetime_s)
    for lifetime_s in lived_s:
        for recorded_s in range(at_s - 210, at_s + 10):
            recorded_ms = recorded_s * 1000 + within_ms
            if at_s < recorded_s + lifetime_s:
                assert recorded_ms >= shelf.oldest_live_ms(at_s)
            else:
                assert recorded_ms < shelf.newest_expired_ms(at_s)
    assert shelf.oldest_live_ms(at_s) == 1000 * min(r for r in range(2_000) if at_s < r + max(lived_s))
    assert shelf.newest_expired_ms(at_s) == 1000 * (at_s - min(lived_s) + 1)


@given(lifetimes_s, lifetimes_s)
def test_shelves_are_ordered_by_length_of_life_and_apart_by_type(one_s: int, other_s: int) -> None:
    one, other = (shelf_number(CertificateType.USER, each) for each in sorted((one_s, other_s)))
    assert one <= other
    host = shelf_number(CertificateType.HOST, one_s)
    assert Shelf(number=host, shortest_s=0, longest_s=0).is_host
    assert not Shelf(number=one, shortest_s=0, longest_s=0).is_host


def test_longest_of_lives_has_a_shelf() -> None:
    shelf = Shelf(number=shelf_number(CertificateType.USER, 2**62), shortest_s=0, longest_s=2**62)
    assert not (shelf.is_host)
    assert not (shelf.is_failed)
    assert not (shelf.is_revoked)
