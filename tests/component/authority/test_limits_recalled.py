"""Limits of an authority that begins anew: what was asked for before counts, as certificates tell it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from appliance.authority.issuing.rates import Rates
from appliance.authority.issuing.releases import Release
from appliance.buckets import Rate
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.requests import HostRequest, UserRequest
from support.authority import POLICY, identity
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import public_key

LIMITS = """
[[group]]
name = "deployers"
members = ["mtls:alice"]
[[appliance.limit]]
name = "deployers"
who = { groups = ["deployers"] }
certificates_per_minute = 1
burst = 4
"""
ASK = UserRequest(public_key=public_key("ed25519", 1))
ASK_HOST = HostRequest(public_key=public_key("ed25519", 2), host="web-1.acme.example")
CAROL = identity("carol")


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path / "ledger.db") as running:
        running.apply(POLICY + LIMITS)
        yield running


def begun_anew(authority: Rehearsal, rate: Rate | None = None) -> Rates:
    """Return the limits of a process that has just read the ledger."""
    rates = Rates(rate, clock_s=lambda: 5.0, applied=lambda: authority.state.applied)
    rates.recall(authority.state.certificates.values(), authority.now_ms)
    return rates


def left(rates: Rates, who: Identity) -> int:
    """Return how many certificates somebody may ask for at once."""
    return len(list(takewhile(bool, (is_let_in(rates, who) for _ in range(10)))))


def is_let_in(rates: Rates, who: Identity) -> bool:
    try:
        rates.charge(who)
    except Refusal:
        return False
    return True


def test_certificates_of_before_count_by_request_and_until_they_are_old_enough(authority: Rehearsal) -> None:
    for _ in range(3):
        got = authority.ask(identity(), ASK)
        assert isinstance(got, Release)
        assert len(got.certificates) == 2  # of one request
        authority.advance(1)
    assert left(begun_anew(authority), identity()) == 1
    authority.advance(120)
    assert left(begun_anew(authority), identity()) == 3
    authority.advance(120)
    assert left(begun_anew(authority), identity()) == 4


def test_hosts_certificates_count_for_who_asked_and_nobody_pays_for_others(authority: Rehearsal) -> None:
    rate = Rate(per_s=0.01, burst=3)
    for _ in range(2):
        assert isinstance(authority.ask(CAROL, ASK_HOST), Release)
        authority.advance(1)
    rates = begun_anew(authority, rate)
    assert left(rates, CAROL) == 1
    assert left(rates, identity("dora")) == 3
    assert {each.enroller for each in authority.state.certificates.values()} == {"mtls:carol"}


def test_delegate_pays_for_what_he_asked_on_behalf_of_others(authority: Rehearsal) -> None:
    delegates = 'permit = ["pty"]\ndelegates = ["mtls:portal"]'
    authority.apply(POLICY.replace('permit = ["pty"]', delegates) + LIMITS)
    portal = identity("portal")
    request = UserRequest(public_key=public_key("ed25519", 1), logins=("deploy",))
    assert isinstance(authority.ask(portal, request, on_behalf_of=identity()), Release)
    rates = begun_anew(authority, Rate(per_s=0.01, burst=3))
    assert (left(rates, portal), left(rates, identity())) == (2, 3)


def test_moment_that_is_ahead_of_the_clock_is_now(authority: Rehearsal) -> None:
    authority.ask(identity(), ASK)
    authority.now_ms -= 3_600_000
    assert left(begun_anew(authority), identity()) == 3
    authority.now_ms += 3_600_000
