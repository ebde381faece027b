"""Who is locked approves nothing, and who is away gets nothing for others either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.authority.issuing.releases import Release
from appliance.errors import Refusal
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from appliance.ssh.keys import fingerprint, format_public_key_line
from audit.verifier import SqliteSource, Verdict
from support.authority import POLICY, VKEY, identity
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
