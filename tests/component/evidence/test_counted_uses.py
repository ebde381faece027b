"""Credentials of counted uses: certificates without a use on record, and uses for nothing, are found."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.issuing.releases import Release
from appliance.authority.ordering.administration import Answer, CarryOut, apply_policy, create_credential
from appliance.authority.ordering.commands import ApplyPolicy, CommandBody, CreateCredential
from appliance.authority.orders import OrderBody
from appliance.errors import Refusal
from appliance.evidence.findings import Code
from appliance.policy.document import PolicyFile
from appliance.requests import UserRequest
from audit.entry import Entry
from audit.verifier import Verdict
from support.authority import NOW_MS, POLICY, TestAuthority, identity, order, running_authority
from support.forging import Entries, find, judge, read_entries
from support.ssh_examples import public_key

CREDENTIAL = "00112233445566ff"
OTHER = "ff" * 8
ROBOT = identity("robot", provider="api", kind="service", claims=(("amr", "otp"), ("credential", CREDENTIAL)))
# Two grants that differ, so that one request makes two certificates.
GRANTS = """
[[grant]]
name = "robot"
who = { services = ["api:robot"] }
on = ["web"]
as = ["robot"]
[[grant]]
name = "robot-logs"
who = { services = ["api:robot"] }
on = ["web"]
as = ["logs"]
force_command = "journalctl -f"
"""


def carry_out(
    authority: TestAuthority,
    command: CommandBody,
    build: Callable[[list[OrderBody], Answer], CarryOut],
) -> None:
    assert authority.state.applied is not None
    signed: Any = order(command.to_command(), policy=authority.state.applied.seq)
    done = threading.Event()

    def answer(outcome: Sequence[Entry] | Refusal) -> None:
        assert not isinstance(outcome, Refusal), outcome
        done.set()

    authority.writer.submit(build([OrderBody(**each) for each in signed["orders"]], answer))
    assert done.wait(10)


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return what an authority wrote that was asked twice by a credential with three uses."""
    path = tmp_path / "honest.db"
    files = [PolicyFile(name="policy.toml", text=POLICY + GRANTS)]
    policy = ApplyPolicy.of(files)
    credential, other = (
        CreateCredential(id=each, subject="robot", kind="service", secret_sha256="0" * 64, uses=3)
        for each in (CREDENTIAL, OTHER)
    )
    with running_authority(path) as authority:
        carry_out(
            authority,
            policy,
            lambda orders, answer: apply_policy(policy, files, orders, answer, now_s=NOW_MS // 1000),
        )
        carry_out(authority, credential, lambda orders, answer: create_credential(credential, orders, answer))
        carry_out(authority, other, lambda orders, answer: create_credential(other, orders, answer))
        for _ in range(2):
            reply = authority.ask(ROBOT, UserRequest(public_key=public_key("ed25519", 1)))
            assert isinstance(reply, Release), reply
            assert len(reply.certificates) == 2
    return read_entries(path)


def test_certificates_of_one_request_rest_on_one_use(tmp_path: Path, honest: Entries) -> None:
    assert [kind for kind, _ in honest].count("credential.used") == 2
    report = judge(tmp_path / "again.db", honest)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def forge_no_use(entries: Entries) -> None:
    used = [place for place, (kind, _) in enumerate(entries) if kind == "credential.used"][1]
    # Something else stands in its place, so that all that is cited stays where it was.
    lock = {"kind": "identity", "name": "mtls:zoe", "reason": "test", "by": identity("carol").to_data()}
    entries[used] = ("lock.placed", lock)


def forge_use_for_nothing(entries: Entries) -> None:
    entries.append(("credential.used", {"id": CREDENTIAL}))


def forge_use_of_nobody(entries: Entries) -> None:
    entries.append(("credential.used", {"id": "00" * 8}))


def forge_more_uses(entries: Entries) -> None:
    entries.extend([("credential.used", {"id": CREDENTIAL})] * 2)


def forge_use_of_another(entries: Entries) -> None:
    find(entries, "credential.used", 1)["id"] = OTHER


def forge_uses_of_number(entries: Entries) -> None:
    created = find(entries, "credential.created")
    created["uses"] = created["command"]["uses"] = 1


def forge_same_certificate_again(entries: Entries) -> None:
    first = [place for place, (kind, _) in enumerate(entries) if kind == "certificate.intent"][-1]
    entries.insert(first + 1, copy.deepcopy(entries[first]))


def forge_other_request(entries: Entries) -> None:
    find(entries, "certificate.intent", 3)["request"]["reason"] = "another"


FORGERIES: Mapping[Callable[[Entries], None], set[Code]] = {
    forge_no_use: {Code.WRONG_USE},
    forge_use_for_nothing: {Code.WRONG_USE},
    forge_use_of_nobody: {Code.WRONG_USE, Code.BAD_MEANING},
    forge_more_uses: {Code.WRONG_USE},
    forge_use_of_another: {Code.WRONG_USE},
    forge_uses_of_number: {Code.WRONG_USE, Code.BAD_ORDER},
    forge_same_certificate_again: {Code.WRONG_USE, Code.NOT_ALLOWED, Code.OPEN_INTENT},
    forge_other_request: {Code.WRONG_USE},
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_use_that_is_missing_or_for_nothing_is_found(
    tmp_path: Path, honest: Entries, forge: Callable[[Entries], None]
) -> None:
    forge(honest)
    report = judge(tmp_path / "forged.db", honest)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == FORGERIES[forge], report.to_json()
