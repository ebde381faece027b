"""Requests under an idempotency key: what comes twice under one key, or is another request, is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.authority.events import IdempotencyData
from appliance.authority.issuing.issuance import IssueCertificates
from appliance.authority.issuing.releases import Release
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.requests import UserRequest
from audit.verifier import SqliteSource, Verdict
from support.authority import VKEY, identity
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import public_key

# Of alice's two grants: each request makes two certificates.
REQUEST = UserRequest(public_key=public_key("ed25519", 1))


def ask(authority: Rehearsal, request: str = "1" * 64, *, key: str = "a" * 64, who: str = "alice") -> None:
    sent = IdempotencyData(key=key, request=request)
    assert isinstance(authority.ask(identity(who), REQUEST, idempotency=sent), Release)
    authority.advance(1)


def judge(path: Path) -> EvidenceReport:
    with SqliteSource(path) as source:
        return verify_evidence(source, pinned_key=VKEY)


def after_a_revocation(authority: Rehearsal) -> None:
    ask(authority)
    authority.revoke(serial=str(authority.state.serial(min(authority.state.certificates))))
    ask(authority)


def after_a_failure(authority: Rehearsal) -> None:
    keys = dict(authority.keys)
    authority.keys.clear()
    sent = IdempotencyData(key="a" * 64, request="1" * 64)
    assert not isinstance(authority.ask(identity(), REQUEST, idempotency=sent), Release)
    authority.keys.update(keys)
    ask(authority)


def under_other_keys(authority: Rehearsal) -> None:
    ask(authority)
    ask(authority, "2" * 64, key="b" * 64)


@pytest.mark.parametrize("live", [after_a_revocation, after_a_failure, under_other_keys])
def test_request_that_is_carried_out_anew_is_no_repetition(
    tmp_path: Path, live: Callable[[Rehearsal], None]
) -> None:
    with rehearsal(tmp_path / "ledger.db") as authority:
        live(authority)
    report = judge(tmp_path / "ledger.db")
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert report.checked["replayed decisions"] == 4


@pytest.mark.parametrize("second", ["1" * 64, "2" * 64], ids=["the same request", "another request"])
def test_second_request_under_the_same_key_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    monkeypatch.setattr(IssueCertificates, "_repeat", lambda _self, _state, _at: None)
    with rehearsal(tmp_path / "ledger.db") as authority:
        ask(authority)
        size = authority.state.size
        ask(authority, second)
    report = judge(tmp_path / "ledger.db")
    assert report.verdict is Verdict.TAMPERED
    assert {(finding.code, finding.seq) for finding in report.findings} >= {(Code.WRONG_INTENT, size)}
    assert {finding.code for finding in report.findings} == {Code.WRONG_INTENT}
