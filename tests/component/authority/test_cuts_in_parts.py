"""Cuts that take several commands, and what comes between these: the next ones are decided on that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from appliance.authority.cutting.cutting import CutDone, complete_cuts
from appliance.authority.issuing.releases import Release
from appliance.errors import Refusal
from appliance.evidence import cuts
from appliance.evidence.findings import Code
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from audit.verifier import SqliteSource, Verdict
from support.authority import POLICY, VKEY, identity
from support.forging import judge, read_entries
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import public_key

STAFF = """
[[group]]
name = "staff"
members = ["mtls:alice", "mtls:bob"]
"""
HELD = 4


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.setattr(cuts, "MAX_CUT", 2)  # as many as a rehearsal takes in one command
    path = tmp_path / "ledger.db"
    with rehearsal(path) as running:
        running.apply(POLICY + STAFF)
        for seed in (1, 2):
            got = running.ask(identity(), UserRequest(public_key=public_key("ed25519", seed)))
            assert isinstance(got, Release)
        assert len(running.state.certificates) == HELD
        yield running
    with SqliteSource(path) as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def revoked(authority: Rehearsal) -> int:
    return sum(each.revoked for each in authority.state.certificates.values())


def lift(authority: Rehearsal) -> None:
    (seq,) = authority.state.locks.in_force
    assert not isinstance(authority.lift(seq), Refusal)


def test_lock_that_is_lifted_meanwhile_revokes_no_more(authority: Rehearsal) -> None:
    authority.meanwhile = partial(lift, authority)
    refused = authority.lock(identity="mtls:alice")
    assert isinstance(refused, Refusal)
    assert "is no lock in force; 2 certificates had been revoked by then" in refused.detail
    assert revoked(authority) == 2


def test_policy_that_takes_a_member_out_of_a_locked_group_meanwhile_spares_his(authority: Rehearsal) -> None:
    without = STAFF.replace('"mtls:alice", ', "")
    authority.meanwhile = lambda: authority.apply(POLICY + without)
    cut = authority.lock(group="staff")
    assert isinstance(cut, CutDone)
    assert (cut.revoked, revoked(authority)) == (2, 2)


def test_role_that_a_policy_takes_away_meanwhile_ends_a_revocation(authority: Rehearsal) -> None:
    other = POLICY.replace('identities = ["mtls:carol"]', 'identities = ["mtls:dora"]')
    authority.meanwhile = lambda: authority.apply(other)
    refused = authority.revoke(subject="mtls:alice")
    assert isinstance(refused, Refusal)
    assert refused.slug == "policy-denied"
    assert "2 certificates had been revoked by then" in refused.detail
    assert revoked(authority) == 2


def test_lock_of_an_identity_goes_on_whatever_a_policy_says_meanwhile(authority: Rehearsal) -> None:
    other = POLICY.replace('identities = ["mtls:carol"]', 'identities = ["mtls:dora"]')
    authority.meanwhile = lambda: authority.apply(other)
    cut = authority.lock(identity="mtls:alice")
    assert isinstance(cut, CutDone)
    assert revoked(authority) == HELD


def test_start_revokes_what_a_policy_has_put_under_a_lock_and_says_so(
    authority: Rehearsal, tmp_path: Path
) -> None:
    authority.apply(POLICY + STAFF.replace('"mtls:alice", ', ""))
    authority.lock(group="staff")
    authority.apply(POLICY + STAFF)
    assert revoked(authority) == 0
    complete_cuts(authority.ledger, authority.state, authority.now_ms)
    assert revoked(authority) == HELD
    entries = read_entries(tmp_path / "ledger.db")
    reasons = {data["reason"] for kind, data in entries if kind == "certificate.revoked"}
    assert reasons == {"under this lock when the authority started"}


def test_audit_finds_what_a_lock_left_out_though_a_policy_came_between(
    authority: Rehearsal, tmp_path: Path
) -> None:
    authority.meanwhile = lambda: authority.apply(POLICY + STAFF)
    authority.lock(group="staff")
    entries = read_entries(tmp_path / "ledger.db")
    assert entries[-1][0] == "certificate.revoked"
    report = judge(tmp_path / "forged.db", entries[:-1])
    assert {finding.code for finding in report.findings} == {Code.OPEN_CUT}
