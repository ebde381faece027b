"""Who is locked approves nothing, and who is away gets nothing for others either."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.issuing.releases import Release
from appliance.errors import Refusal
from appliance.evidence.findings import Code
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from appliance.ssh.certificate import decode_tbs, encode_tbs
from appliance.ssh.keys import fingerprint, format_public_key_line
from audit.verifier import SqliteSource, Verdict
from support.authority import POLICY, VKEY, identity
from support.forging import judge, read_entries
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)
BOBS = public_key("ed25519", 9)
GRANTS = f"""
[[person]]
name = "bob"
identities = ["mtls:bob", "oidc:bob"]
keys = ["{format_public_key_line(BOBS)}"]
[[group]]
name = "owners"
members = ["mtls:bob"]
[[grant]]
name = "prod"
who = {{ users = ["mtls:alice"] }}
on = ["web"]
as = ["root"]
require = {{ approvals = 1, approvers = ["owners"] }}
[[grant]]
name = "portal"
who = {{ users = ["mtls:dora"] }}
on = ["web"]
as = ["root"]
delegates = ["mtls:bob"]
"""


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Rehearsal]:
    path = tmp_path / "ledger.db"
    with rehearsal(path) as running:
        assert not isinstance(running.apply(POLICY + GRANTS), Refusal)
        yield running
    with SqliteSource(path) as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def ask(authority: Rehearsal) -> Release | Refusal:
    return authority.ask(identity(), UserRequest(public_key=KEY, grant="prod"))


@pytest.mark.parametrize("locked", [{"person": "bob"}, {"identity": "oidc:bob"}, {"key": fingerprint(BOBS)}])
def test_locked_person_or_key_gives_no_approval(authority: Rehearsal, locked: dict[str, str]) -> None:
    seq, _ = authority.ask_approval(identity(), "prod")
    authority.lock(**locked)
    refused = authority.answer_approval(seq, "bob", 9, "given", 600)
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "approval"
    assert isinstance(ask(authority), Refusal)


def test_approval_counts_for_nothing_while_its_giver_is_locked(authority: Rehearsal) -> None:
    seq, _ = authority.ask_approval(identity(), "prod")
    assert isinstance(authority.answer_approval(seq, "bob", 9, "given", 600), int)
    placed = authority.lock(person="bob")
    refused = ask(authority)
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "require.approvals"
    authority.lift(placed.seq)
    assert isinstance(ask(authority), Release)


def given(authority: Rehearsal) -> int:
    """Have bob approve, with a key that is his, and return what alice asked for."""
    seq: int
    seq, _ = authority.ask_approval(identity(), "prod")
    assert isinstance(authority.answer_approval(seq, "bob", 9, "given", 600), int)
    return seq


def applied(authority: Rehearsal, text: str) -> None:
    assert not isinstance(authority.apply(POLICY + text), Refusal)


@pytest.mark.parametrize("act", ["lock", "revoke"])
def test_approval_counts_for_nothing_once_its_key_is_cut_off(authority: Rehearsal, act: str) -> None:
    given(authority)
    getattr(authority, act)(key=fingerprint(BOBS))
    refused = ask(authority)
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "require.approvals"


OTHERS = format_public_key_line(public_key("ed25519", 10))


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        # His key is out of the policy, or somebody else is called bob now.
        (format_public_key_line(BOBS), OTHERS, 10),
        ('as = ["root"]', 'as = ["root", "postgres"]', 9),
    ],
)
def test_approval_counts_no_more_under_a_policy_with_another_key_or_grant_and_is_asked_for_anew(
    authority: Rehearsal, before: str, after: str, key: int
) -> None:
    first = given(authority)
    applied(authority, GRANTS.replace(before, after))
    assert isinstance(ask(authority), Refusal)
    again, already = authority.ask_approval(identity(), "prod")
    assert (again > first, already) == (True, False)
    assert isinstance(authority.answer_approval(again, "bob", key, "given", 600), int)
    assert isinstance(ask(authority), Release)


def test_approval_goes_on_counting_under_a_policy_with_the_same_grant_and_key(authority: Rehearsal) -> None:
    seq = given(authority)
    applied(authority, f'{GRANTS}\n[[group]]\nname = "more"\nmembers = ["mtls:eve"]\n')
    assert authority.ask_approval(identity(), "prod") == (seq, True)
    assert isinstance(ask(authority), Release)


def test_request_for_a_grant_that_is_another_now_cannot_be_answered(authority: Rehearsal) -> None:
    seq, _ = authority.ask_approval(identity(), "prod")
    applied(authority, GRANTS.replace('as = ["root"]', 'as = ["root", "postgres"]'))
    refused = authority.answer_approval(seq, "bob", 9, "given", 600)
    assert isinstance(refused, Refusal)
    assert "another than was asked for" in refused.detail
    applied(authority, GRANTS)
    assert isinstance(authority.answer_approval(seq, "bob", 9, "given", 600), int)


def test_audit_finds_a_certificate_that_rests_on_an_approval_whose_key_was_locked_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "honest.db"
    with rehearsal(path) as running:
        running.apply(POLICY + GRANTS)
        given(running)
        assert isinstance(ask(running), Release)
        running.lock(key=fingerprint(BOBS))
    entries = read_entries(path)
    place = next(at for at, (kind, _) in enumerate(entries) if kind == "certificate.intent")
    issued, (lock,) = entries[place : place + 2], [each for each in entries if each[0] == "lock.placed"]
    # The lock comes first, and the certificate is made all the same.
    intent = issued[0][1]
    tbs = plan_again(intent, seq=place + 1)
    forged = [*entries[:place], lock, ("certificate.intent", intent | {"tbs": tbs})]
    forged += [("certificate.failed", {"intent": place + 1, "reason": "x", "requested": True})]
    report = judge(tmp_path / "forged.db", forged)
    assert [each.code for each in report.findings] == [Code.NOT_ALLOWED]


def plan_again(intent: dict[str, Any], *, seq: int) -> str:
    """Return the to-be-signed bytes of an intent that stands at another place."""
    content = decode_tbs(base64.b64decode(intent["tbs"]))
    moved = replace(content, serial=1 << 48 | seq, key_id=f"mtls:alice#1.{seq}")
    return base64.b64encode(encode_tbs(moved)).decode()


def test_locked_person_can_still_refuse(authority: Rehearsal) -> None:
    seq, _ = authority.ask_approval(identity(), "prod")
    authority.lock(person="bob")
    assert isinstance(authority.answer_approval(seq, "bob", 9, "refused", 600), int)


def test_delegate_on_leave_gets_nothing_for_others_and_loses_what_he_got(authority: Rehearsal) -> None:
    request = UserRequest(public_key=KEY, logins=("root",))
    got = authority.ask(identity("bob"), request, on_behalf_of=identity("dora"))
    assert isinstance(got, Release)
    authority.book("bob", authority.now_s, authority.now_s + 3_600)
    assert authority.state.certificates[got.certificates[0].seq].revoked
    refused = authority.ask(identity("bob"), request, on_behalf_of=identity("dora"))
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "leave"
    assert isinstance(authority.ask(identity("dora"), request), Release)
