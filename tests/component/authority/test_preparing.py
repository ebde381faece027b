"""Orders that take long to prepare: nothing for one that does not hold, once for one that does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.authority.cas.ceremony import Ceremony
from appliance.authority.issuing.releases import Release
from appliance.authority.operations.ordering import Ordering
from appliance.authority.ordering import preparing
from appliance.authority.ordering.administration import Build, prepare_policy
from appliance.authority.ordering.commands import ApplyPolicy, RotateCa
from appliance.authority.ordering.preparing import Preparer
from appliance.authority.orders import OrderBody
from appliance.authority.transport.server import Peer
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile
from appliance.requests import UserRequest
from audit.entry import Entry
from hsm.errors import HsmError
from support.authority import NOW_MS, POLICY, TestAuthority, identity, order, running_authority
from support.ssh_examples import public_key

FILES = [PolicyFile(name="policy.toml", text=POLICY)]
APPLY = ApplyPolicy.of(FILES)
ROTATE = RotateCa(name="users", algorithm="ecdsa-p256", phase="trusted")
Outcome = Sequence[Entry] | Refusal


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []


class Preparing:
    """A preparer beside an authority, that counts what it prepares and waits when it is told to."""

    def __init__(self, authority: TestAuthority) -> None:
        self.authority = authority
        self.preparer = Preparer("test", authority.writer)
        self.preparer.start()
        self.begun = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()

    def prepare(self) -> Build:
        self.begun += 1
        assert self.may_end.wait(10)
        return prepare_policy(APPLY, FILES, now_s=NOW_MS // 1000)

    def give(self, prepare: Any = None, **changes: Any) -> None:
        orders = signed(self.authority, APPLY, **changes)
        self.preparer.submit(APPLY, orders, prepare or self.prepare, self.outcomes.put)

    def outcome(self) -> Outcome:
        return self.outcomes.get(timeout=10)


def signed(authority: TestAuthority, command: Any, **changes: Any) -> list[OrderBody]:
    made: Any = order(command.to_command(), policy=authority.state.in_force().seq)
    return [OrderBody(**(each | changes)) for each in made["orders"]]


def kinds(outcome: Outcome) -> list[str]:
    assert not isinstance(outcome, Refusal), outcome
    return [entry.kind for entry in outcome]


def test_nothing_is_prepared_for_an_order_that_does_not_hold(authority: TestAuthority) -> None:
    orders = Preparing(authority)
    orders.give(signature="AAAA")
    refused = orders.outcome()
    assert isinstance(refused, Refusal)
    assert (refused.slug, orders.begun) == ("policy-denied", 0)


def test_order_that_is_sent_many_times_is_prepared_once(authority: TestAuthority) -> None:
    orders = Preparing(authority)
    orders.may_end.clear()
    for _ in range(10):
        orders.give()
    orders.may_end.set()
    outcomes = [orders.outcome() for _ in range(10)]
    assert [kinds(each) for each in outcomes if not isinstance(each, Refusal)] == [
        ["policy.file", "policy.applied"]
    ]
    assert {each.slug for each in outcomes if isinstance(each, Refusal)} == {"conflict"}
    assert orders.begun == 1


def test_certificates_are_issued_while_an_order_is_prepared(authority: TestAuthority) -> None:
    orders = Preparing(authority)
    orders.may_end.clear()
    orders.give()
    got = authority.ask(identity(), UserRequest(public_key=public_key("ed25519", 1)))
    assert isinstance(got, Release)
    orders.may_end.set()
    assert kinds(orders.outcome()) == ["policy.file", "policy.applied"]


def test_what_cannot_be_prepared_is_refused_and_the_next_is_not(authority: TestAuthority) -> None:
    orders = Preparing(authority)

    def refuse() -> Build:
        raise Refusal("malformed-request", "no policy")

    def fail() -> Build:
        raise RuntimeError("a bug")

    slugs = []
    for prepare in (refuse, fail):
        orders.give(prepare)
        refused = orders.outcome()
        assert isinstance(refused, Refusal)
        slugs.append(refused.slug)
    assert slugs == ["malformed-request", "internal"]
    orders.give()
    assert kinds(orders.outcome()) == ["policy.file", "policy.applied"]


def test_more_orders_than_wait_for_their_turn_are_told_to_come_again(
    authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "MAX_QUEUED", 2)
    orders = Preparing(authority)
    orders.may_end.clear()
    for _ in range(20):
        orders.give()
    refused = orders.outcome()
    assert isinstance(refused, Refusal)
    assert refused.slug == "overloaded"
    orders.may_end.set()


def test_text_of_a_policy_is_not_read_when_its_order_comes_in() -> None:
    """Whoever sends one may have no power at all, and its connection has others to serve."""
    submitted: list[Any] = []
    parts: Any = SimpleNamespace(
        now_ms=lambda: NOW_MS,
        rates=SimpleNamespace(charge=lambda _identity: None),
        policies=SimpleNamespace(submit=lambda *arguments: submitted.append(arguments)),
    )
    body = {"operator": "mallory", "policy": 1, "expires_s": 1, "signature": "AAAA"}
    args = {
        "command": APPLY.to_command(),
        "orders": [body],
        "files": [{"name": "policy.toml", "text": "no policy at all"}],
    }
    Ordering(parts).table()["order"](Peer(uid=0, pid=1, local=True), args, submitted.append)
    ((command, _orders, prepare, _answer),) = submitted
    assert command == APPLY
    with pytest.raises(Refusal, match="not the ones that were ordered"):
        prepare()


def test_token_is_asked_for_no_key_by_an_order_that_does_not_hold(authority: TestAuthority) -> None:
    asked: list[object] = []

    class Pool:
        def call(self, make: object, *, call_s: float) -> object:
            asked.append((make, call_s))
            raise HsmError("it is full")

    ceremony = Ceremony(Pool(), None, authority.writer)  # type: ignore[arg-type]
    ceremony.start()
    answers: SimpleQueue[Outcome] = SimpleQueue()
    ceremony.make_key(ROTATE, signed(authority, ROTATE, signature="AAAA"), answers.put)
    refused = answers.get(timeout=10)
    assert isinstance(refused, Refusal)
    assert (refused.slug, asked) == ("policy-denied", [])
    ceremony.make_key(ROTATE, signed(authority, ROTATE), answers.put)
    refused = answers.get(timeout=10)
    assert isinstance(refused, Refusal)
    assert (refused.slug, len(asked)) == ("hsm-unavailable", 1)
