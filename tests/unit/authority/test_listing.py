"""When KRLs are made and signed: one for all who ask meanwhile, long ones seldom, and without a token too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

import pytest

from appliance.authority.fold.state import State
from appliance.authority.publishing.krl import KrlView, MadeKrl, make_krl
from appliance.authority.publishing.listing import MAX_QUEUED, PACE, UNSIGNED_S, Lister
from appliance.authority.writer import At
from appliance.errors import Refusal
from appliance.ssh.keys import fingerprint
from audit.ledger import Ledger
from audit.merkle import Frontier
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
        self.views = 0
        self.lister = Lister(key, read=self.read, problem=lambda: self.problem, clock_s=self.clock)

    def read(self, read: Callable[[State, At], MadeKrl | KrlView]) -> MadeKrl | KrlView:
        """Read as the writer does, and count the copies that are taken."""
        found = read(self.state, At(tree=Frontier(), time_ms=NOW_MS))
        self.views += isinstance(found, KrlView)
        return found

    def find(self, now_s: int = NOW_S) -> MadeKrl | None:
        return self.lister.find(self.state, "users", now_s)

    def ask(self, number: int = 1) -> list[MadeKrl]:
        """Ask so many times on the state as it is, and wait for all answers."""
        answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
        for _ in range(number):
            self.lister.submit("users", answers.put)
        found = [answers.get(timeout=10) for _ in range(number)]
        return [each for each in found if isinstance(each, MadeKrl)]


def hold_encoding(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Have KRLs encoded only when the second event is set; the first says that one has been begun."""
    begun, go_on = threading.Event(), threading.Event()

    def held(view: KrlView) -> MadeKrl:
        begun.set()
        assert go_on.wait(10)
        return make_krl(view)

    monkeypatch.setattr("appliance.authority.publishing.listing.make_krl", held)
    return begun, go_on


@pytest.fixture
def listing() -> Listing:
    return Listing()


def test_one_krl_is_made_for_all_who_ask_meanwhile(listing: Listing) -> None:
    assert listing.find() is None
    answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
    for _ in range(20):
        listing.lister.submit("users", answers.put)
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
    listing.problem = None
    assert listing.find() is unsigned
    listing.clock.now_s += UNSIGNED_S
    assert listing.find() is None
    (signed,) = listing.ask()
    assert signed == replace(unsigned, signature=signed.signature)
    assert signed.signature is not None


def test_what_is_unsigned_is_not_copied_again_and_the_token_asked_once_a_second(listing: Listing) -> None:
    listing.lister.start()
    listing.problem = "the token was removed"
    for _ in range(5):
        asked = {id(each) for each in listing.ask(50)}
        assert asked == {id(listing.find())}
        assert listing.views == 1
        listing.clock.now_s += UNSIGNED_S
        assert listing.find() is None


def test_revoked_while_the_token_is_away_is_in_the_krl_at_once(listing: Listing) -> None:
    listing.lister.start()
    listing.problem = "the token was removed"
    (before,) = listing.ask()
    listing.state.revoked.add(USERS, 17)
    assert listing.find() is None
    (after,) = listing.ask()
    assert after.sha256 != before.sha256


def test_all_who_ask_while_a_krl_is_being_made_cost_one_copy_more_and_get_what_was_revoked(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = hold_encoding(monkeypatch)
    listing.lister.start()
    answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
    listing.lister.submit("users", answers.put)
    assert begun.wait(10)
    for number in range(MAX_QUEUED):
        listing.state.revoked.add(USERS, 17 + number)
        listing.lister.submit("users", answers.put)
    with pytest.raises(Refusal) as refused:
        listing.lister.submit("users", answers.put)
    assert refused.value.slug == "overloaded"
    go_on.set()
    found = [answers.get(timeout=10) for _ in range(MAX_QUEUED + 1)]
    assert listing.views == 2
    assert len({id(each) for each in found[1:]}) == 1
    newest = found[-1]
    assert isinstance(newest, MadeKrl)
    assert newest.changes == listing.state.revoked.changes


def test_those_who_ask_while_an_unchanged_krl_is_being_made_cost_no_copy(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = hold_encoding(monkeypatch)
    listing.lister.start()
    answers: SimpleQueue[MadeKrl | Refusal] = SimpleQueue()
    listing.lister.submit("users", answers.put)
    assert begun.wait(10)
    for _ in range(100):
        listing.lister.submit("users", answers.put)
    go_on.set()
    assert len({id(answers.get(timeout=10)) for _ in range(101)}) == 1
    assert listing.views == 1
