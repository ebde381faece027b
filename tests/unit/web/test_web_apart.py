"""Where directories are waited for: on threads, so that a worker goes on, and not more than it can bear."""

from __future__ import annotations

import threading
import time

import gevent
import pytest

from appliance.identity.errors import InvalidCredential, ProviderBusy
from appliance.identity.ldap_accounts import Account
from appliance.web.apart import THREADS, WAITING, Apart

ADA = Account(dn="uid=ada", name="ada", groups=frozenset())


def test_others_go_on_while_one_waits_for_a_directory() -> None:
    apart, ticks = Apart(), []

    def wait() -> Account:
        time.sleep(0.2)
        return ADA

    def tick() -> None:
        while True:
            ticks.append(threading.get_ident())
            gevent.sleep(0.01)

    ticking = gevent.spawn(tick)
    try:
        assert apart(wait) is ADA
    finally:
        ticking.kill()
    assert len(ticks) > 5


def test_what_goes_wrong_apart_goes_wrong_here() -> None:
    def refuse() -> Account:
        raise InvalidCredential("no such account")

    with pytest.raises(InvalidCredential, match="no such account"):
        Apart()(refuse)


def test_more_than_can_be_answered_in_time_are_turned_away_at_once() -> None:
    apart, go = Apart(), threading.Event()

    def wait() -> Account:
        go.wait(10)
        return ADA

    waiting = [gevent.spawn(apart, wait) for _ in range(THREADS + WAITING)]
    gevent.sleep(0.05)
    with pytest.raises(ProviderBusy, match="too many wait"):
        apart(wait)
    go.set()
    gevent.joinall(waiting, timeout=10, raise_error=True)
    assert [each.value for each in waiting] == [ADA] * (THREADS + WAITING)
    assert apart(wait) is ADA
