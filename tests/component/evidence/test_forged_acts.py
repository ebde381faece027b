"""Acts in the name of an API credential that was not made for who acts: each is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.authority.cutting.revocation import RevokeCredential
from appliance.authority.issuing import issuance
from appliance.authority.issuing.releases import Release
from appliance.authority.ordering.administration import create_credential
from appliance.authority.ordering.commands import CreateCredential
from appliance.evidence.findings import Code
from appliance.evidence.verify import verify_evidence
from appliance.identity.identity import Identity
from appliance.requests import CredentialRevocationBody, UserRequest
from appliance.ssh.keys import format_public_key_line
from audit.verifier import SqliteSource, Verdict
from support.authority import NOW_MS, POLICY, VKEY, identity, order, running_authority
from support.circumstances import apply
from support.forging import Data, Entries, judge, read_entries
from support.rehearsal import rehearsal
from support.ssh_examples import public_key

NOW_S = NOW_MS // 1000
KEY = public_key("ed25519", 1)
CREDENTIAL = "00112233445566ff"
# An operator, and somebody who asks others: both by API credentials.
GRANTS = f"""
[[person]]
name = "bob"
identities = ["mtls:bob"]
keys = ["{format_public_key_line(public_key("ed25519", 31))}"]
[[group]]
name = "owners"
members = ["mtls:bob"]
[[grant]]
name = "prod"
who = {{ users = ["api:robot"] }}
on = ["web"]
as = ["root"]
ttl = "1h"
require = {{ approvals = 1, approvers = ["owners"] }}
"""
ROBOT: Data = dict(identity("robot", provider="api", claims=(("credential", CREDENTIAL),)).to_data())


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return what an authority wrote: a policy, a certificate and a credential."""
    path = tmp_path / "honest.db"
    text = POLICY.replace('["mtls:carol"]', '["mtls:carol", "api:robot"]') + GRANTS
    with running_authority(path) as authority:
        apply(authority, text)
        authority.ask(identity(), UserRequest(public_key=KEY, logins=("deploy",)))
    entries = read_entries(path)
    policy = max(seq for seq, (kind, _) in enumerate(entries) if kind == "policy.applied")
    members = {"id": CREDENTIAL, "subject": "robot", "kind": "user", "secret_sha256": "0" * 64}
    created = members | order({"verb": "credential.create", **members}, policy=policy)
    return [*entries, ("credential.created", created)]


def lock(by: Data) -> tuple[str, Data]:
    return "lock.placed", {"kind": "identity", "name": "mtls:zoe", "reason": "test", "by": by}


def revoke(by: Data) -> tuple[str, Data]:
    key = "SHA256:" + "A" * 43
    return "certificate.revoked", {"key": key, "reason": "test", "by": by}


def revoke_credential(by: Data) -> tuple[str, Data]:
    return "credential.revoked", {"id": CREDENTIAL, "reason": "test", "by": by}


def book_for_another(by: Data) -> tuple[str, Data]:
    leave = {"person": "mtls:zoe", "identities": ["mtls:zoe"], "starts_s": NOW_S + 60, "ends_s": NOW_S + 120}
    return "leave.booked", leave | {"by": by}


def ask_approval(by: Data) -> tuple[str, Data]:
    times = {"answer_by_s": NOW_S + 3_600, "ttl_s": 3_600}
    return "approval.requested", {"identity": by, "grant": "prod", "reason": "test", **times}


ACTS = (lock, revoke, revoke_credential, book_for_another, ask_approval)
Act = Callable[[Data], tuple[str, Data]]


@pytest.mark.parametrize("act", ACTS)
def test_act_by_the_credential_of_who_acts_is_verified(tmp_path: Path, honest: Entries, act: Act) -> None:
    report = judge(tmp_path / "again.db", [*honest, act(ROBOT)])
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def test_act_by_a_credential_that_was_revoked_a_moment_before_is_verified(
    tmp_path: Path, honest: Entries
) -> None:
    report = judge(tmp_path / "again.db", [*honest, revoke_credential(ROBOT), lock(ROBOT)])
    assert report.verdict is Verdict.VERIFIED, report.to_json()


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"claims": []},
        {"claims": [{"name": "credential", "value": "00" * 8}]},
        {"kind": "service"},
    ],
    ids=["none", "unknown", "of another kind"],
)
def test_act_by_a_credential_that_was_not_made_for_who_acts_is_found(
    tmp_path: Path, honest: Entries, act: Act, changes: Data
) -> None:
    report = judge(tmp_path / "forged.db", [*honest, act(ROBOT | changes)])
    assert {finding.code for finding in report.findings} == {Code.NOT_ENTITLED}, report.to_json()


@pytest.mark.parametrize(
    ("expires_s", "revoked", "found"),
    [
        (None, False, set()),
        (NOW_S + 1, False, set()),
        (NOW_S, False, {Code.WRONG_INTENT}),
        (None, True, {Code.WRONG_INTENT}),
        (NOW_S + 1, True, {Code.WRONG_INTENT}),
    ],
)
def test_certificate_by_a_credential_that_was_over_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expires_s: int | None,
    found: set[Code],
    *,
    revoked: bool,
) -> None:
    monkeypatch.setattr(issuance, "_check_credential", lambda _state, _identity, _at: None)
    grant = '[[grant]]\nname = "r"\nwho = { users = ["api:robot"] }\non = ["web"]\nas = ["robot"]\n'
    members: Data = {"id": CREDENTIAL, "subject": "robot", "kind": "user", "secret_sha256": "0" * 64}
    if expires_s is not None:
        members["expires_s"] = expires_s
    with rehearsal(tmp_path / "ledger.db") as authority:
        authority.apply(POLICY + grant)
        command = CreateCredential.model_validate(members)
        authority.carry_out(create_credential(command, authority.order(command), lambda _entries: None))
        if revoked:
            body = CredentialRevocationBody(id=CREDENTIAL, reason="lost")
            authority.carry_out(RevokeCredential(identity("carol"), body, lambda _answer: None))
        robot = Identity.from_data(ROBOT)
        assert isinstance(authority.ask(robot, UserRequest(public_key=KEY)), Release)
    with SqliteSource(tmp_path / "ledger.db") as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert {finding.code for finding in report.findings} == found, report.to_json()
