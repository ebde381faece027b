"""The issuance cycle on a real ledger file, judged by the verifier, which shares no code with it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from appliance.authority.events import Event, IdempotencyData
from appliance.authority.fold.state import State
from appliance.authority.issuing.issuance import IssueCertificates
from appliance.authority.issuing.releases import IssuedReply, Release
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.certificate import parse_certificate_line, verify_certificate
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteReader, SqliteStore
from audit.verifier import SqliteSource, Verdict, verify_log
from hsm.errors import Failure, SigningFailed
from hsm.keys import PKCS11ECPrivateKey
from support.authority import NOW_MS, VKEY, Reply, TestAuthority, identity, running_authority
from support.ssh_examples import private_key, public_key

KEY = public_key("ed25519", 2)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []
    with SqliteSource(running.path) as source:
        report = verify_log(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    # What a restart folds from the file is what the running authority had in memory.
    again = State()
    ledger = Ledger.open(SqliteStore.open(running.path), on_entry=again.apply)
    ledger.close()
    assert again == running.state


def entries(authority: TestAuthority, kind: str) -> list[dict[str, Any]]:
    reader = SqliteReader(authority.path)
    found = [json.loads(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return [entry for entry in found if entry["kind"] == kind]


def issued(reply: Release | Refusal) -> Sequence[IssuedReply]:
    assert not isinstance(reply, Refusal), reply
    return reply.certificates


def refused(reply: Release | Refusal) -> Refusal:
    assert isinstance(reply, Refusal), reply
    return reply


def test_certificates_of_a_request_are_signed_and_on_record_before_the_reply(
    authority: TestAuthority,
) -> None:
    release = authority.ask(identity(), UserRequest(public_key=KEY))
    replies = issued(release)
    assert [reply.content.principals for reply in replies] == [("deploy@web",), ("logs@web",)]
    for reply in replies:
        certificate = parse_certificate_line(reply.line)
        verify_certificate(certificate)
        intent = next(
            entry for entry in entries(authority, "certificate.intent") if entry["seq"] == reply.seq
        )
        assert base64.b64decode(intent["data"]["tbs"]) == certificate.tbs
        assert certificate.content.serial == 1 << 48 | reply.seq
        assert certificate.content.key_id == f"mtls:alice#1.{reply.seq}"
        assert certificate.content.valid_after == NOW_MS // 1000 - 60
        outcome = entries(authority, "certificate.issued")
        assert reply.seq in {entry["data"]["intent"] for entry in outcome}
    assert isinstance(release, Release)
    assert release.ledger_size == max(entry["seq"] for entry in entries(authority, "certificate.issued")) + 1
    assert replies[1].content.critical_options == (("force-command", "journalctl -f"),)


def test_host_certificate_needs_the_role_and_carries_the_registered_names(authority: TestAuthority) -> None:
    request = HostRequest(public_key=KEY, host="web-1.acme.example")
    assert refused(authority.ask(identity(), request)).slug == "policy-denied"
    (reply,) = issued(authority.ask(identity("carol"), request))
    assert reply.content.principals == ("web-1.acme.example",)
    assert reply.content.key_id == f"host:web-1.acme.example#1.{reply.seq}"


def test_denial_says_which_rule_and_what_is_allowed_and_is_on_record_once(authority: TestAuthority) -> None:
    request = UserRequest(public_key=KEY, logins=("root",))
    for _ in range(5):
        refusal = refused(authority.ask(identity(), request))
    assert refusal.members == {"rule": "default-deny", "allowed": ["deploy@web", "logs@web"]}
    (entry,) = entries(authority, "certificate.denied")
    assert (entry["data"]["identity"]["subject"], entry["data"]["count"]) == ("alice", 1)


@pytest.mark.parametrize("late_s", [61, 3_600, NOW_MS // 1000])
def test_start_that_has_passed_is_refused_and_leaves_nothing_on_record(
    authority: TestAuthority, late_s: int
) -> None:
    request = UserRequest(public_key=KEY, start_s=NOW_MS // 1000 - late_s)
    refusal = refused(authority.ask(identity(), request))
    assert (refusal.slug, refusal.members["field"]) == ("malformed-request", "start")
    assert "has passed" in refusal.detail
    assert entries(authority, "certificate.denied") == entries(authority, "certificate.intent") == []


def test_start_that_has_just_passed_is_now(authority: TestAuthority) -> None:
    now_s = NOW_MS // 1000
    reply, _ = issued(authority.ask(identity(), UserRequest(public_key=KEY, start_s=now_s - 60)))
    assert reply.content.valid_after == now_s - 60
    assert reply.content.valid_before == now_s + 3_600


class Later:
    """A command that is decided five minutes from now."""

    def __init__(self, command: IssueCertificates) -> None:
        self._command = command
        self.refuse = command.refuse

    def decide(self, state: State, at: At) -> Decided:
        return self._command.decide(state, replace(at, time_ms=at.time_ms + 300_000))


def test_what_was_issued_for_a_start_that_has_passed_since_is_answered_again(
    authority: TestAuthority,
) -> None:
    def ask(key: str) -> Release | Refusal:
        sent = IdempotencyData(key=key * 32, request="bb" * 32)
        request = UserRequest(public_key=KEY, start_s=NOW_MS // 1000 + 120)
        reply = Reply()
        command = IssueCertificates(authority.cycle, identity(), request, reply, idempotency=sent)
        authority.writer.submit(command if not held else Later(command))
        return authority.wait(reply)

    held: list[int] = []
    held += [each.seq for each in issued(ask("aa"))]
    assert [each.seq for each in issued(ask("aa"))] == held
    assert refused(ask("cc")).members["field"] == "start"


def test_identity_without_a_grant_gets_nothing(authority: TestAuthority) -> None:
    refusal = refused(authority.ask(identity("mallory"), UserRequest(public_key=KEY)))
    assert (refusal.slug, refusal.members["allowed"]) == ("policy-denied", [])


def test_ca_s_own_key_as_subject_is_refused_and_not_recorded(authority: TestAuthority) -> None:
    refusal = refused(authority.ask(identity(), UserRequest(public_key=public_key("nistp256", 11))))
    assert refusal.slug == "unacceptable-key"
    assert entries(authority, "certificate.intent") == []


def _raise(_data: bytes) -> bytes:
    raise SigningFailed("the token is out of order", failure=Failure.DEVICE)


def test_signature_that_fails_fails_every_certificate_of_the_request(authority: TestAuthority) -> None:
    fingerprint, key = next(item for item in authority.keys.items() if item[1] == private_key("nistp256", 11))
    public = key.public_key()
    assert isinstance(public, EllipticCurvePublicKey)
    authority.keys[fingerprint] = PKCS11ECPrivateKey(public, _raise)
    refusal = refused(authority.ask(identity(), UserRequest(public_key=KEY)))
    assert refusal.slug == "hsm-unavailable"
    failed = entries(authority, "certificate.failed")
    assert [entry["data"]["requested"] for entry in failed] == [True, True]
    assert authority.state.open_intents == set()
    assert all(certificate.revoked for certificate in authority.state.certificates.values())


def test_signature_that_was_never_asked_for_needs_no_revocation(authority: TestAuthority) -> None:
    authority.keys.clear()
    refusal = refused(authority.ask(identity(), UserRequest(public_key=KEY)))
    assert refusal.slug == "hsm-unavailable"
    failed = entries(authority, "certificate.failed")
    assert [entry["data"]["requested"] for entry in failed] == [False, False]
    assert authority.state.open_intents == set()
    assert not any(certificate.revoked for certificate in authority.state.certificates.values())


class Revoke:
    """Revoke whatever was asked for last, while the token is still signing."""

    def decide(self, state: State, at: At) -> Decided:
        data = {
            "serial": str(state.serial(max(state.certificates))),
            "reason": "test",
            "by": identity("carol").to_data(),
        }
        return Decided(events=[Event(kind="certificate.revoked", data=data)], after=lambda recorded: None)

    def refuse(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)


def test_certificate_revoked_while_the_token_signs_is_never_released(authority: TestAuthority) -> None:
    submit = authority.cycle.sign

    def sign_after_revocation(job: Any) -> None:
        authority.writer.submit_owed(Revoke())
        submit(job)

    object.__setattr__(authority.cycle, "sign", sign_after_revocation)
    request = UserRequest(public_key=KEY, logins=("deploy",))
    refusal = refused(authority.ask(identity(), request))
    assert refusal.members["rule"] == "revocation"
    (failed,) = entries(authority, "certificate.failed")
    assert failed["data"]["reason"] == "revoked before release"
    assert entries(authority, "certificate.issued") == []


def test_many_callers_at_once_each_get_their_own_certificate(authority: TestAuthority) -> None:
    requests = [
        UserRequest(public_key=public_key("ed25519", 100 + number), logins=("deploy",))
        for number in range(60)
    ]
    waiting = [authority.ask_later(identity(), request) for request in requests]
    for request, reply in zip(requests, waiting, strict=True):
        (certificate,) = issued(authority.wait(reply))
        assert certificate.content.subject_key == request.public_key
    assert len(entries(authority, "certificate.issued")) == len(requests)


def test_bad_signature_by_the_token_halts_its_ca_key(authority: TestAuthority) -> None:
    fingerprint, key = next(item for item in authority.keys.items() if item[1] == private_key("nistp256", 11))
    public = key.public_key()
    assert isinstance(public, EllipticCurvePublicKey)
    authority.keys[fingerprint] = PKCS11ECPrivateKey(public, lambda data: bytes([1]) * 64)
    request = UserRequest(public_key=KEY, logins=("deploy",))
    assert refused(authority.ask(identity(), request)).slug == "hsm-unavailable"
    (halted,) = entries(authority, "ca.halted")
    assert halted["data"]["ca_key"] == fingerprint
    authority.keys[fingerprint] = key
    assert refused(authority.ask(identity(), request)).slug == "issuance-halted"
