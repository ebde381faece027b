"""When KRLs are made and signed: one for all who ask meanwhile, long ones seldom, and without a token too."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import pytest

from appliance.authority.krl import MadeKrl, view_krl
from appliance.authority.listing import PACE, Lister
from appliance.authority.state import State
from appliance.errors import Refusal
from appliance.ssh.keys import fingerprint
from audit.ledger import Ledger
from audit.stores.memory import MemoryStore
from support.authority import NOW_MS, seed_entries
from support.ssh_examples import private_key, public_key

NOW_S = NOW_MS // 1000
USERS = fingerprint(public_key("nistp256", 11))


class Clock:
    """A clock that stands still, but for ``took_s`` at each look."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.took_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.took_s
        return self.now_s


class Listing:
    """A lister beside a state, and what it is asked on it."""

    def __init__(self) -> None:
        self.state = State()
        with Ledger.create(MemoryStore()).batch(NOW_MS) as batch:
            for kind, data in seed_entries():
                self.state.apply(batch.append(kind, data))
        self.problem: str | None = None
        self.clock = Clock()
        key = private_key("ed25519", 20)
        self.lister = Lister(key, problem=lambda: self.problem, clock_s=self.clock)

    def find(self, now_s: int = NOW_S) -> MadeKrl | None:
        return self.lister.find(self.state, "users", now_s)

    def ask(self, number: int = 1) -> list[MadeKrl]:
        """Ask so many times on the state as it is, and wait for all answers."""
        answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
        for _ in range(number):
            self.lister.submit(view_krl(self.state, "users", NOW_S), answers.put)
        found = [answers.get(timeout=10) for _ in range(number)]
        return [each for each in found if isinstance(each, MadeKrl)]


@pytest.fixture
def listing() -> Listing:
    return Listing()


def test_one_krl_is_made_for_all_who_ask_meanwhile(listing: Listing) -> None:
    assert listing.find() is None
    answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
    for _ in range(20):
        listing.lister.submit(view_krl(listing.state, "users", NOW_S), answers.put)
    listing.lister.start()
    found = {id(answers.get(timeout=10)) for _ in range(20)}
    assert len(found) == 1
    assert listing.find() is not None


def test_krl_is_given_as_it_is_until_something_is_revoked(listing: Listing) -> None:
    listing.lister.start()
    (first,) = listing.ask()
    assert listing.find() is first
    listing.state.revoked.add(USERS, 17)
    assert listing.find() is None
    (second,) = listing.ask()
    assert second.sha256 != first.sha256
    assert listing.find() is second


def test_long_krl_is_made_anew_only_after_a_rest_and_a_short_one_at_once(listing: Listing) -> None:
    listing.lister.start()
    listing.clock.took_s = 1.0
    (first,) = listing.ask()
    listing.clock.took_s = 0
    listing.state.revoked.add(USERS, 17)
    assert listing.find() is first
    listing.clock.now_s += PACE
    assert listing.find() is None
    listing.ask()
    listing.state.revoked.add(USERS, 18)
    assert listing.find() is None


def test_krl_without_a_token_is_given_unsigned_and_signed_when_it_is_back(listing: Listing) -> None:
    listing.lister.start()
    listing.problem = "the token was removed"
    (unsigned,) = listing.ask()
    assert unsigned.signature is None
    assert listing.find() is None
    listing.problem = None
    (signed,) = listing.ask()
    assert signed == replace(unsigned, signature=signed.signature)
    assert signed.signature is not None
