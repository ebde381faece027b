"""Operators under a lock: others have their power then, and if there are none, locks take none away."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.cutting.locking import lift_lock
from appliance.authority.ordering.commands import LiftLock
from appliance.authority.orders import NAMESPACE, OrderBody, order_message
from appliance.errors import Refusal
from appliance.evidence.findings import Code
from appliance.evidence.verify import verify_evidence
from appliance.ssh.keys import fingerprint, format_public_key_line
from appliance.ssh.sshsig import build_sshsig
from audit.verifier import SqliteSource, Verdict
from support.authority import ORIGIN, POLICY, VKEY, identity
from support.forging import judge, read_entries
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import private_key, public_key

CAROLS, DAVES, SPARE = 7, 8, 9
DAVE = f"""
[[operator]]
name = "dave"
keys = ["{format_public_key_line(public_key("ed25519", DAVES))}"]
identities = ["mtls:dave"]
roles = ["operator"]
"""
PERSON = """
[[person]]
name = "carol"
identities = ["mtls:carol", "oidc:carol"]
"""
TWO = """
[appliance]
two_operators = ["lock.lift"]
"""
ON_CAROL: list[dict[str, str]] = [
    {"identity": "mtls:carol"},
    {"person": "carol"},
    {"identity": "oidc:carol"},
    {"key": fingerprint(public_key("ed25519", CAROLS))},
]


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Rehearsal]:
    path = tmp_path / "ledger.db"
    with rehearsal(path) as running:
        running.apply(POLICY + PERSON + DAVE)
        yield running
    with SqliteSource(path) as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def placed(authority: Rehearsal, **named: str) -> int:
    cut = authority.lock(**named)
    assert not isinstance(cut, Refusal), cut
    seq: int = cut.seq
    return seq


def lift(authority: Rehearsal, seq: int, *by: tuple[str, int]) -> Sequence[Any] | Refusal:
    """Have these operators, each with the key of this number, order that a lock be lifted."""
    command = LiftLock(lock=seq)
    policy, expires_s = authority.state.in_force().seq, authority.now_s + 60
    message = order_message(ORIGIN, command.to_command(), policy, expires_s)
    orders = [
        OrderBody(
            operator=name,
            policy=policy,
            expires_s=expires_s,
            signature=base64.b64encode(
                build_sshsig(private_key("ed25519", key), NAMESPACE, message)
            ).decode(),
        )
        for name, key in by
    ]
    answers: list[Sequence[Any] | Refusal] = []
    authority.carry_out(lift_lock(command, orders, answers.append))
    return answers[0]


@pytest.mark.parametrize("locked", ON_CAROL)
def test_locked_operator_orders_nothing_while_another_can(
    authority: Rehearsal, locked: dict[str, str]
) -> None:
    seq = placed(authority, **locked)
    refused = lift(authority, seq, ("carol", CAROLS))
    assert isinstance(refused, Refusal)
    assert "a lock is on him or the key" in refused.detail
    assert not isinstance(lift(authority, seq, ("dave", DAVES)), Refusal)
    assert not authority.state.locks.in_force


def test_locked_operator_orders_what_nobody_else_may(authority: Rehearsal) -> None:
    """Dave may lift locks, and apply no policy."""
    placed(authority, person="carol")
    assert not isinstance(authority.apply(POLICY + PERSON), Refusal)


def test_locks_on_all_operators_take_power_from_none(authority: Rehearsal) -> None:
    first = placed(authority, identity="mtls:dave")
    placed(authority, person="carol")
    assert not isinstance(lift(authority, first, ("carol", CAROLS)), Refusal)


def test_operator_orders_with_another_key_when_one_is_locked(authority: Rehearsal) -> None:
    spare = format_public_key_line(public_key("ed25519", SPARE))
    authority.apply(POLICY.replace('keys = ["', f'keys = ["{spare}", "'))
    seq = placed(authority, key=fingerprint(public_key("ed25519", CAROLS)))
    assert isinstance(lift(authority, seq, ("carol", CAROLS)), Refusal)
    assert not isinstance(lift(authority, seq, ("carol", SPARE)), Refusal)


def test_of_two_operators_who_must_order_together_a_lock_takes_power_from_neither(
    authority: Rehearsal,
) -> None:
    authority.apply(POLICY + PERSON + DAVE + TWO)
    seq = placed(authority, person="carol")
    both = (("carol", CAROLS), ("dave", DAVES))
    assert isinstance(lift(authority, seq, both[1]), Refusal)
    assert not isinstance(lift(authority, seq, *both), Refusal)


def test_locked_identity_cuts_nobody_off_while_another_can(authority: Rehearsal) -> None:
    seq = placed(authority, identity="oidc:carol")
    refused = authority.lock(identity="mtls:alice")
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "lock"
    assert isinstance(authority.book("mtls:alice", authority.now_s, authority.now_s + 60), Refusal)
    assert not isinstance(authority.book("carol", authority.now_s, authority.now_s + 60), Refusal)
    lift(authority, seq, ("dave", DAVES))
    assert not isinstance(authority.lock(identity="mtls:alice"), Refusal)


def test_locks_on_all_who_may_act_leave_them_able_to(authority: Rehearsal) -> None:
    placed(authority, identity="mtls:dave")
    placed(authority, identity="mtls:carol")
    assert not isinstance(authority.lock(identity="mtls:alice"), Refusal)


def test_audit_finds_orders_and_acts_of_who_was_locked(tmp_path: Path) -> None:
    path = tmp_path / "honest.db"
    with rehearsal(path) as running:
        running.apply(POLICY + PERSON + DAVE)
        seq = placed(running, identity="mtls:alice")
        lift(running, seq, ("carol", CAROLS))
    entries = read_entries(path)
    (place,) = (at for at, (kind, _) in enumerate(entries) if kind == "lock.lifted")
    lock = {"kind": "person", "name": "carol", "reason": "x", "by": identity("dave").to_data()}
    lock["accounts"] = ["mtls:carol", "oidc:carol"]
    another = {"kind": "identity", "name": "mtls:bob", "reason": "x", "by": identity("carol").to_data()}
    forged = [*entries[:place], ("lock.placed", lock), entries[place], ("lock.placed", another)]
    report = judge(tmp_path / "forged.db", forged)
    assert [each.code for each in report.findings] == [Code.BAD_ORDER, Code.NOT_ENTITLED]
