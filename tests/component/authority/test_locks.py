"""Locks on a real ledger: nothing more is issued, all that was is revoked, and lifting is an order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.cutting.cutting import CutDone, complete_cuts, render_done
from appliance.authority.cutting.locking import find_lock, lift_lock
from appliance.authority.events import IdempotencyData
from appliance.authority.fold.state import State
from appliance.authority.issuing.issuance import IssueCertificates
from appliance.authority.issuing.releases import Release
from appliance.authority.ordering.administration import CarryOut
from appliance.authority.ordering.commands import LiftLock
from appliance.authority.orders import OrderBody
from appliance.authority.publishing.krl import view_krl
from appliance.cutting import LockBody
from appliance.errors import Refusal
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteReader, SqliteStore
from audit.verifier import SqliteSource, Verdict, verify_log
from support.authority import NOW_MS, VKEY, Reply, TestAuthority, identity, order, running_authority
from support.ssh_examples import public_key

KEY = public_key("ed25519", 2)
HOST = "web-1.acme.example"
ASK = UserRequest(public_key=KEY)
ASK_HOST = HostRequest(public_key=KEY, host=HOST)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []
    with SqliteSource(running.path) as source:
        report = verify_log(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    again = State()
    Ledger.open(SqliteStore.open(running.path), on_entry=again.apply).close()
    assert again == running.state


def entries(authority: TestAuthority, kind: str) -> list[dict[str, Any]]:
    reader = SqliteReader(authority.path)
    found = [json.loads(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return [entry for entry in found if entry["kind"] == kind]


def seqs(reply: Release | Refusal) -> list[int]:
    assert isinstance(reply, Release), reply
    return [each.seq for each in reply.certificates]


def done(answer: CutDone | Refusal) -> CutDone:
    assert isinstance(answer, CutDone), answer
    return answer


TARGETS = {
    "identity": "mtls:alice",
    "service": "mtls:alice",
    "key": fingerprint(KEY),
    "ca": "users",
}


@pytest.mark.parametrize("kind", TARGETS)
def test_lock_denies_more_certificates_and_revokes_live_ones_in_one_transaction(
    authority: TestAuthority, kind: str
) -> None:
    held = seqs(authority.ask(identity(), ASK))
    cut = done(authority.lock(**{kind: TARGETS[kind]}))
    (lock,) = entries(authority, "lock.placed")
    assert (lock["data"]["kind"], lock["data"]["name"]) == (kind, TARGETS[kind])
    revoked = entries(authority, "certificate.revoked")
    assert [int(each["data"]["serial"]) & (1 << 48) - 1 for each in revoked] == held
    assert [each["seq"] for each in revoked] == [lock["seq"] + 1, lock["seq"] + 2]
    assert {each["data"]["by"] for each in revoked} == {lock["seq"]}
    assert [each.seq for each in cut.live] == held
    refusal = authority.ask(identity(), ASK)
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "lock"
    assert f"entry {lock['seq']}" in refusal.detail
    assert entries(authority, "certificate.denied")[0]["data"]["rule"] == "lock"


def test_lock_of_a_provider_s_group_is_on_whoever_is_in_it(authority: TestAuthority) -> None:
    authority.lock(group="mtls:staff")
    refusal = authority.ask(identity(groups=frozenset({"mtls:staff"})), ASK)
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "lock"
    assert seqs(authority.ask(identity(), ASK))


def test_locked_host_gets_no_certificate_and_loses_the_one_it_has(authority: TestAuthority) -> None:
    (held,) = seqs(authority.ask(identity("carol"), ASK_HOST))
    assert [each.seq for each in done(authority.lock(host=HOST)).live] == [held]
    refusal = authority.ask(identity("carol"), ASK_HOST)
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "lock"
    assert seqs(authority.ask(identity(), UserRequest(public_key=KEY, hosts=(HOST,))))


@pytest.mark.parametrize("named", [{"identity": "mtls:carol"}, {"service": "mtls:carol"}])
def test_lock_on_an_enroller_leaves_hosts_their_certificates_and_names_them(
    authority: TestAuthority, named: dict[str, str]
) -> None:
    (held,) = seqs(authority.ask(identity("carol"), ASK_HOST))
    cut = done(authority.lock(**named))
    assert not authority.state.certificates[held].revoked
    told = render_done(cut)
    assert (told["hosts"], told["host_count"]) == ([HOST], 1)
    authority.revoke(subject=f"host:{HOST}")
    assert "hosts" not in render_done(done(authority.lock(**named)))


def test_lock_on_somebody_else_names_no_hosts(authority: TestAuthority) -> None:
    authority.ask(identity("carol"), ASK_HOST)
    assert done(authority.lock(identity="mtls:alice")).hosts == ()


def test_lock_leaves_others_alone(authority: TestAuthority) -> None:
    held = seqs(authority.ask(identity(), ASK))
    assert done(authority.lock(identity="mtls:bob")).revoked == 0
    authority.lock(key=fingerprint(public_key("ed25519", 3)))
    authority.lock(ca="hosts")
    assert seqs(authority.ask(identity(), ASK))
    assert not any(authority.state.certificates[seq].revoked for seq in held)


def test_lock_while_the_token_signs_has_the_certificate_fail_unreleased(authority: TestAuthority) -> None:
    submit = authority.cycle.sign
    waiting: list[Any] = []
    object.__setattr__(authority.cycle, "sign", waiting.append)
    reply = authority.ask_later(identity(), UserRequest(public_key=KEY, logins=("deploy",)))
    while not waiting:
        authority.revoke(subject="mtls:nobody")
    cut = done(authority.lock(identity="mtls:alice"))
    assert (cut.revoked, cut.live_count) == (1, 0)  # nobody had it yet
    submit(waiting[0])
    refusal = authority.wait(reply)
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "revocation"
    (failed,) = entries(authority, "certificate.failed")
    assert failed["data"]["reason"] == "revoked before release"
    assert failed["data"]["requested"]
    assert entries(authority, "certificate.issued") == []


def test_request_sent_again_under_its_key_is_not_answered_with_what_was_revoked_since(
    authority: TestAuthority,
) -> None:
    def ask() -> Release | Refusal:
        reply = Reply()
        sent = IdempotencyData(key="aa" * 32, request="bb" * 32)
        authority.writer.submit(IssueCertificates(authority.cycle, identity(), ASK, reply, idempotency=sent))
        return authority.wait(reply)

    held = seqs(ask())
    assert seqs(ask()) == held
    authority.revoke(subject="mtls:alice")
    anew = seqs(ask())
    assert not set(anew) & set(held)
    authority.lock(identity="mtls:alice")
    refusal = ask()
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "lock"


def test_lock_that_stands_is_not_placed_twice(authority: TestAuthority) -> None:
    first = done(authority.lock(identity="mtls:alice"))
    again = done(authority.lock(identity="mtls:alice"))
    assert (again.seq, again.cause.by) == (None, first.seq)
    assert len(entries(authority, "lock.placed")) == 1


@pytest.mark.parametrize(
    "named",
    [
        {"person": "ada"},
        {"group": "staff"},
        {"host": "web-9.acme.example"},
        {"ca": "user"},
        {"identity": f"host:{HOST}"},
        {"service": f"host:{HOST}"},
    ],
)
def test_lock_on_what_there_is_not_is_refused(authority: TestAuthority, named: dict[str, str]) -> None:
    refusal = authority.lock(**named)
    assert isinstance(refusal, Refusal)
    assert refusal.slug == "not-found"


def lift(authority: TestAuthority, seq: int, operator: str = "carol") -> Any:
    command = LiftLock(lock=seq)
    signed = order(command.to_command(), policy=2, operator=operator)["orders"]
    assert isinstance(signed, list)
    reply: Any = Reply()
    carry_out: CarryOut = lift_lock(command, [OrderBody.model_validate(each) for each in signed], reply)
    authority.writer.submit(carry_out)
    assert reply.arrived.wait(10)
    return reply.value


@pytest.mark.parametrize("act", ["lock", "revoke"])
def test_key_of_a_ca_is_neither_locked_nor_revoked_as_a_key(authority: TestAuthority, act: str) -> None:
    ca_key = fingerprint(public_key("nistp256", 11))
    refused = getattr(authority, act)(key=ca_key)
    assert isinstance(refused, Refusal)
    assert refused.slug == "conflict"
    assert "a key of the CA users" in refused.detail
    assert ca_key not in view_krl(authority.state, "users", NOW_MS // 1000).keys


def test_lifted_lock_lets_new_certificates_be_made_and_old_ones_stay_revoked(
    authority: TestAuthority,
) -> None:
    held = seqs(authority.ask(identity(), ASK))
    seq = done(authority.lock(identity="mtls:alice")).seq
    assert seq is not None
    (lifted,) = lift(authority, seq)
    assert lifted.kind == "lock.lifted"
    assert seqs(authority.ask(identity(), ASK))
    assert all(authority.state.certificates[each].revoked for each in held)
    assert isinstance(lift(authority, seq), Refusal)


def test_revoked_key_is_revoked_with_all_for_it_and_certified_no_more(authority: TestAuthority) -> None:
    held = seqs(authority.ask(identity(), ASK))
    cut = done(authority.revoke(key=fingerprint(KEY)))
    first, *rest = entries(authority, "certificate.revoked")
    assert first["data"]["key"] == fingerprint(KEY)
    assert [int(each["data"]["serial"]) & (1 << 48) - 1 for each in rest] == held
    assert (cut.revoked, cut.seq) == (2, first["seq"])
    refusal = authority.ask(identity(), ASK)
    assert isinstance(refusal, Refusal)
    assert refusal.members["rule"] == "revocation"
    assert done(authority.revoke(key=fingerprint(KEY))).seq is None


def test_subject_loses_all_that_it_holds_and_may_ask_again(authority: TestAuthority) -> None:
    held = seqs(authority.ask(identity(), ASK))
    cut = done(authority.revoke(subject="mtls:alice"))
    assert [each.seq for each in cut.live] == held
    assert seqs(authority.ask(identity(), ASK))
    refusal = authority.revoke(subject="mtls:nobody")
    assert isinstance(refusal, Refusal)
    assert refusal.slug == "not-found"


def test_key_id_names_one_certificate_and_only_as_a_whole(authority: TestAuthority) -> None:
    first, second = seqs(authority.ask(identity(), ASK))
    for wrong in (f"mtls:bob#1.{first}", f"mtls:alice#2.{first}", "mtls:alice", f"mtls:alice#1.0{first}"):
        assert isinstance(authority.revoke(key_id=wrong), Refusal)
    assert [each.seq for each in done(authority.revoke(key_id=f"mtls:alice#1.{first}")).live] == [first]
    assert not authority.state.certificates[second].revoked


def test_identity_without_a_role_cuts_nothing_off(authority: TestAuthority) -> None:
    body = LockBody.model_validate({"identity": "mtls:carol", "reason": "mischief"})
    refusal = authority.cut(partial(find_lock, identity("alice"), body))
    assert isinstance(refusal, Refusal)
    assert refusal.slug == "policy-denied"
    assert entries(authority, "lock.placed") == []


def test_cut_of_more_than_one_command_takes_goes_on_until_nothing_is_left(
    authority: TestAuthority,
) -> None:
    held = [*seqs(authority.ask(identity(), ASK)), *seqs(authority.ask(identity(), ASK))]
    body = LockBody.model_validate({"identity": "mtls:alice", "reason": "test"})
    cut = done(authority.cut(partial(find_lock, identity("carol"), body), most=3))
    assert [each.seq for each in cut.live] == held
    assert [each["data"]["by"] for each in entries(authority, "certificate.revoked")] == [cut.seq] * 4


def test_cut_that_a_crash_ended_is_completed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with running_authority(path) as authority:
        held = seqs(authority.ask(identity(), ASK))
    state = State()
    ledger = Ledger.open(SqliteStore.open(path), on_entry=state.apply)
    placed = {"kind": "identity", "name": "mtls:alice", "reason": "x", "by": identity("carol").to_data()}
    with ledger.batch(NOW_MS) as batch:
        state.apply(batch.append("lock.placed", placed))
    complete_cuts(ledger, state, NOW_MS)
    size = ledger.size
    complete_cuts(ledger, state, NOW_MS)
    assert (ledger.size, size) == (size, size)
    ledger.close()
    assert [state.certificates[seq].revoked_seq for seq in held] == [size - 2, size - 1]
