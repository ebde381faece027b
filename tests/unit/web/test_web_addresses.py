"""Limits by source address: who counts as one, who is exempt, and that a neighbour is not locked out."""

from __future__ import annotations

import pytest
from werkzeug.test import EnvironBuilder

from appliance.config import LimitsTable
from appliance.errors import Refusal
from appliance.index.queries import Index
from appliance.web.addresses import Addresses
from appliance.web.request import StrictRequest
from appliance.web.slowing import SlowingAuthenticator
from support.authority import NOW_MS
from support.web import NOWHERE, make_providers

NOW_S = 1_000.0


def addresses(**limits: object) -> Addresses:
    return Addresses(LimitsTable.model_validate({"connections_per_address": 2} | limits))


def test_connections_of_an_address_are_bounded_until_one_ends() -> None:
    counted = addresses()
    assert [counted.enter("192.0.2.1", NOW_S) for _ in range(3)] == [True, True, False]
    assert counted.enter("192.0.2.2", NOW_S)
    counted.leave("192.0.2.1")
    assert counted.enter("192.0.2.1", NOW_S + 10)
    assert not counted.enter("192.0.2.1", NOW_S + 10)


def test_new_connections_of_an_address_are_bounded_in_a_second_though_none_stays() -> None:
    counted, entered = addresses(connections_per_address=10), 0
    for number in range(1_000):
        if counted.enter("192.0.2.1", NOW_S + number / 100):
            counted.leave("192.0.2.1")
            entered += 1
    assert entered == pytest.approx(10 + 10 * 10, abs=2)


def test_nothing_is_remembered_of_addresses_that_have_left() -> None:
    counted = addresses()
    for number in range(200):
        address = f"198.51.100.{number}"
        assert counted.enter(address, NOW_S)
        counted.leave(address)
    assert not counted._open


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_ipv6_network_of_a_subscriber_counts_as_one_address(one: str, other: str, same: bool) -> None:
    counted = addresses(connections_per_address=1)
    assert counted.enter(one, NOW_S)
    assert counted.enter(other, NOW_S) is not same


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.9.9.9", "203.0.113.7"])
def test_exempt_addresses_are_not_counted(address: str) -> None:
    counted = addresses(exempt=["127.0.0.0/8", "::1/128", "203.0.113.0/24"], failures_per_minute=1)
    assert all(counted.enter(address, NOW_S) for _ in range(100))
    assert not any(counted.fail(address, NOW_S) for _ in range(100))
    counted.leave(address)


def identify(authenticator: SlowingAuthenticator, address: str, credential: str | None = None) -> str:
    """Return what became of a request: the slug of its refusal, or that nobody asks."""
    headers = [] if credential is None else [("Authorization", f"Bearer {credential}")]
    environ = EnvironBuilder(headers=headers).get_environ() | {"REMOTE_ADDR": address}
    try:
        identity = authenticator.identify(StrictRequest(environ))
    except Refusal as refusal:
        return refusal.slug
    return "nobody" if identity is None else str(identity)


def test_requests_that_show_nothing_valid_are_cut_off_by_address() -> None:
    limits = LimitsTable(failures_per_minute=3)
    authenticator = SlowingAuthenticator(
        Index(NOWHERE), Addresses(limits), make_providers(), now_ms=lambda: NOW_MS, clock_s=lambda: NOW_S
    )
    told = [identify(authenticator, "192.0.2.1", "x") for _ in range(5)]
    assert told == ["unauthenticated"] * 3 + ["rate-limited"] * 2
    assert identify(authenticator, "192.0.2.1") == "rate-limited"
    assert [identify(authenticator, "192.0.2.2") for _ in range(4)] == ["nobody"] * 3 + ["rate-limited"]
    request = StrictRequest(EnvironBuilder().get_environ() | {"REMOTE_ADDR": "192.0.2.1"})
    with pytest.raises(Refusal, match="too many requests from your address") as refused:
        authenticator.identify(request)
    assert refused.value.members == {"retry_after_s": 20}
