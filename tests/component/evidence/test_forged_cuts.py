"""Locks whose ledger is sound and whose cut is not: each omission and each invention is found."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.ordering.commands import LiftLock
from appliance.evidence import cuts
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.requests import UserRequest
from appliance.ssh.keys import fingerprint
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteStore
from audit.verifier import SqliteSource, Verdict
from support.authority import LEDGER_KEY, NOW_MS, ORIGIN, POLICY, VKEY, identity, order, running_authority
from support.circumstances import apply
from support.forging import Entries, read_entries
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    """Return what an authority wrote: two certificates, a lock, its cut, a refusal."""
    path = tmp_path_factory.mktemp("honest") / "honest.db"
    with running_authority(path) as authority:
        authority.ask(identity(), UserRequest(public_key=KEY))
        authority.lock(identity="mtls:alice")
        authority.ask(identity(), UserRequest(public_key=KEY))
    return read_entries(path)


@pytest.fixture
def honest(written: Entries) -> Entries:
    return copy.deepcopy(written)


def judge(path: Path, entries: Entries, *, pause_ms: int = 0) -> EvidenceReport:
    """Write entries into a sound log, ``pause_ms`` before the last of them, and judge it."""
    ledger = Ledger.create(SqliteStore.create(path))
    with ledger.batch(NOW_MS) as batch:
        for kind, data in entries[:-1]:
            batch.append(kind, data)
    with ledger.batch(NOW_MS + pause_ms) as batch:
        batch.append(*entries[-1])
    note = sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), LEDGER_KEY)
    with ledger.batch(NOW_MS + pause_ms) as batch:
        batch.add_checkpoint(note, ledger.size)
    ledger.close()
    with SqliteSource(path) as source:
        return verify_evidence(source, pinned_key=VKEY)


def place_of(entries: Entries, kind: str, number: int = 0) -> int:
    return [place for place, (each, _) in enumerate(entries) if each == kind][number]


def omit_revocation(entries: Entries) -> None:
    del entries[place_of(entries, "certificate.revoked")]


def omit_last_revocation(entries: Entries) -> None:
    del entries[place_of(entries, "certificate.revoked", 1)]


def delay_revocation(entries: Entries) -> None:
    entries.append(entries.pop(place_of(entries, "certificate.revoked")))


def issue_under_the_lock(entries: Entries) -> None:
    lock = place_of(entries, "lock.placed")
    entries.insert(place_of(entries, "certificate.intent"), entries.pop(lock))
    del entries[place_of(entries, "certificate.denied")]
    for number in range(2):
        entries[place_of(entries, "certificate.issued", number)][1]["intent"] += 1
        revoked = entries[place_of(entries, "certificate.revoked", number)][1]
        revoked.update(by=identity("carol").to_data(), serial=str(int(revoked["serial"]) + 1))


def place_without_the_role(entries: Entries) -> None:
    entries[place_of(entries, "lock.placed")][1]["by"] = identity("alice").to_data()


def place_twice(entries: Entries) -> None:
    entries.append(entries[place_of(entries, "lock.placed")])


def invent_accounts(entries: Entries) -> None:
    entries[place_of(entries, "lock.placed")][1]["accounts"] = ["mtls:bob"]


def revoke_by_another_entry(entries: Entries) -> None:
    entries[place_of(entries, "certificate.revoked")][1]["by"] = 3


def revoke_a_key_by_the_lock(entries: Entries) -> None:
    by = place_of(entries, "lock.placed")
    entries.append(("certificate.revoked", {"key": fingerprint(KEY), "reason": "x", "by": by}))


def revoke_what_the_lock_is_not_on(entries: Entries) -> None:
    entries[place_of(entries, "lock.placed")][1]["name"] = "mtls:bob"
    del entries[place_of(entries, "certificate.denied")]


def lift(entries: Entries, seq: int) -> dict[str, Any]:
    command = LiftLock(lock=seq).to_command()
    return {"lock": seq, **order(command, policy=2)}


def lift_nothing(entries: Entries) -> None:
    entries.append(("lock.lifted", lift(entries, 3)))


def lift_without_an_order(entries: Entries) -> None:
    data = lift(entries, place_of(entries, "lock.placed"))
    blob = bytearray(base64.b64decode(data["orders"][0]["signature"]))
    blob[-1] ^= 1
    data["orders"][0]["signature"] = base64.b64encode(bytes(blob)).decode()
    entries.append(("lock.lifted", data))


FORGERIES: Mapping[Callable[[Entries], None], set[Code]] = {
    omit_revocation: {Code.OMITTED_REVOCATION},
    omit_last_revocation: {Code.OMITTED_REVOCATION},
    delay_revocation: {Code.OMITTED_REVOCATION},
    issue_under_the_lock: {Code.NOT_ALLOWED},
    place_without_the_role: {Code.NOT_ENTITLED},
    place_twice: {Code.WRONG_CUT},
    invent_accounts: {Code.WRONG_CUT},
    revoke_by_another_entry: {Code.WRONG_CUT, Code.OMITTED_REVOCATION},
    revoke_a_key_by_the_lock: {Code.WRONG_CUT},
    revoke_what_the_lock_is_not_on: {Code.WRONG_CUT},
    lift_nothing: {Code.WRONG_CUT, Code.BAD_MEANING},
    lift_without_an_order: {Code.BAD_ORDER},
}


def test_honest_cut_is_verified(tmp_path: Path, honest: Entries) -> None:
    honest.append(("lock.lifted", lift(honest, place_of(honest, "lock.placed"))))
    report = judge(tmp_path / "again.db", honest)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert report.checked["revocations by a lock"] == 2
    assert report.checked["entitlements"] == 1


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forged_cut_is_found(tmp_path: Path, honest: Entries, forge: Callable[[Entries], None]) -> None:
    forge(honest)
    report = judge(tmp_path / "forged.db", honest)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == FORGERIES[forge], report.to_json()


@pytest.mark.parametrize(
    ("pause_ms", "code"),
    [
        (0, Code.OPEN_CUT),
        (599_999, Code.OPEN_CUT),
        (600_000, Code.OMITTED_REVOCATION),
        (40 * 86_400_000, Code.OMITTED_REVOCATION),
    ],
    ids=["at once", "soon", "late", "when the certificates are forgotten"],
)
def test_cut_of_several_commands_may_be_under_way_at_the_end_but_not_for_long(
    tmp_path: Path, honest: Entries, monkeypatch: pytest.MonkeyPatch, pause_ms: int, code: Code
) -> None:
    monkeypatch.setattr(cuts, "MAX_CUT", 1)
    omit_last_revocation(honest)
    report = judge(tmp_path / "open.db", honest, pause_ms=pause_ms)
    assert {finding.code for finding in report.findings} == {code}


def test_log_that_ends_within_a_cut_is_inconclusive(tmp_path: Path, honest: Entries) -> None:
    del honest[place_of(honest, "certificate.revoked") + 1 :]
    report = judge(tmp_path / "cut.db", honest)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert {finding.code for finding in report.findings} == {Code.OPEN_CUT}


def lift_in_between(entries: Entries) -> None:
    """Lift the lock behind the first of its two revocations; nothing is refused any more."""
    lock = place_of(entries, "lock.placed")
    entries.insert(place_of(entries, "certificate.revoked", 1), ("lock.lifted", lift(entries, lock)))
    del entries[place_of(entries, "certificate.denied")]


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "ends"])
def test_cut_whose_lock_is_lifted_meanwhile_may_go_on_or_end(
    tmp_path: Path, honest: Entries, monkeypatch: pytest.MonkeyPatch, *, goes_on: bool
) -> None:
    monkeypatch.setattr(cuts, "MAX_CUT", 1)
    lift_in_between(honest)
    if not goes_on:
        del honest[place_of(honest, "certificate.revoked", 1)]
    report = judge(tmp_path / "lifted.db", honest)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


@pytest.mark.parametrize(
    ("pause_ms", "found"), [(599_999, set()), (600_000, {Code.OMITTED_REVOCATION})], ids=["soon", "late"]
)
def test_cut_that_was_given_up_is_found_though_its_lock_is_lifted(
    tmp_path: Path, honest: Entries, monkeypatch: pytest.MonkeyPatch, pause_ms: int, found: set[Code]
) -> None:
    monkeypatch.setattr(cuts, "MAX_CUT", 1)
    lift_in_between(honest)
    del honest[place_of(honest, "certificate.revoked", 1)]
    report = judge(tmp_path / "given-up.db", honest, pause_ms=pause_ms)
    assert {finding.code for finding in report.findings} == found


def test_revocation_of_what_no_cut_owes_is_found_after_its_lock_was_lifted(
    tmp_path: Path, honest: Entries
) -> None:
    honest.append(("lock.lifted", lift(honest, place_of(honest, "lock.placed"))))
    honest.append(honest[place_of(honest, "certificate.revoked")])
    report = judge(tmp_path / "again.db", honest)
    assert [finding.code for finding in report.findings] == [Code.WRONG_CUT]


CREW = """
[[group]]
name = "crew"
members = ["mtls:alice", "mtls:bob"]
"""


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "ends"])
def test_cut_of_a_group_that_loses_the_member_meanwhile_may_go_on_or_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, goes_on: bool
) -> None:
    with running_authority(tmp_path / "group.db") as authority:
        apply(authority, POLICY + CREW)
        authority.ask(identity(), UserRequest(public_key=KEY))
        authority.lock(group="crew")
        apply(authority, POLICY + CREW.replace('"mtls:alice", ', ""))
    entries = read_entries(tmp_path / "group.db")
    applied, file = entries.pop(), entries.pop()
    second = place_of(entries, "certificate.revoked", 1)
    applied[1]["files"][0]["seqs"] = [second]
    entries[second:second] = [file, applied]
    if not goes_on:
        entries.pop()
    monkeypatch.setattr(cuts, "MAX_CUT", 1)
    report = judge(tmp_path / "forged.db", entries)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
