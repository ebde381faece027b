"""Orders that could not be carried out, in logs of sound structure: good signatures are not enough."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.evidence.findings import Code
from appliance.requests import UserRequest
from audit.verifier import Verdict
from support.authority import POLICY, identity, order, running_authority
from support.circumstances import apply
from support.forging import Data, Entries, find, judge, read_entries
from support.ssh_examples import public_key

CREDENTIAL = {"id": "00112233445566ff", "subject": "robot", "kind": "user", "secret_sha256": "0" * 64}
HOST = {"name": "db-1.acme.example", "customer": "acme", "names": ["db-1.acme.example"], "labels": []}


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return what stands in a log before the first certificate."""
    with running_authority(tmp_path / "honest.db"):
        pass
    return read_entries(tmp_path / "honest.db")


def ordered(kind: str, verb: str, data: Data) -> tuple[str, Data]:
    return kind, data | order({"verb": verb, **data}, policy=2)


def register(**changes: object) -> tuple[str, Data]:
    return ordered("host.registered", "host.add", HOST | changes)


def create(**changes: object) -> tuple[str, Data]:
    return ordered("credential.created", "credential.create", CREDENTIAL | changes)


def remove(name: str) -> tuple[str, Data]:
    return ordered("host.removed", "host.remove", {"name": name})


def revoke_credential() -> tuple[str, Data]:
    data = {"id": CREDENTIAL["id"], "reason": "test", "by": identity("carol").to_data()}
    return "credential.revoked", data


LOCK = (
    "lock.placed",
    {"kind": "identity", "name": "mtls:zoe", "reason": "x", "by": identity("carol").to_data()},
)
GOOD: dict[str, Entries] = {
    "a host": [register()],
    "a host anew": [register(), register(labels=[{"name": "role", "value": "db"}])],
    "a host's name after it was removed": [
        remove("web-1.acme.example"),
        register(names=["web-1.acme.example"]),
    ],
    "two credentials": [create(), create(id="ff" * 8)],
}
BAD: dict[str, Entries] = {
    "another host's name": [register(names=["db-1.acme.example", "web-1.acme.example"])],
    "no customer": [register(customer="globex")],
    "no host to remove": [remove("db-1.acme.example")],
    "removed twice": [remove("web-1.acme.example"), LOCK, remove("web-1.acme.example")],
    "a credential again": [create(), create(secret_sha256="1" * 64)],
    "a credential that was revoked": [create(), revoke_credential(), create(secret_sha256="1" * 64)],
    "one order twice": [register(), register()],
    "one order twice and not at once": [register(), LOCK, register()],
    "an order of another verb": [ordered("host.removed", "host.add", {"name": "web-1.acme.example"})],
}


@pytest.mark.parametrize("entries", GOOD.values(), ids=GOOD)
def test_order_that_could_be_carried_out_is_verified(
    tmp_path: Path, honest: Entries, entries: Entries
) -> None:
    report = judge(tmp_path / "again.db", honest + entries)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


@pytest.mark.parametrize("entries", BAD.values(), ids=BAD)
def test_order_that_could_not_be_carried_out_is_found(
    tmp_path: Path, honest: Entries, entries: Entries
) -> None:
    report = judge(tmp_path / "forged.db", honest + entries)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert {finding.code for finding in report.findings} == {Code.BAD_ORDER}, report.to_json()


def apply_in_parts(entries: Entries, *parts: Data, text: str = POLICY) -> Entries:
    """Return the entries with a policy applied in two parts; ``parts`` are what they say otherwise."""
    half, first = len(text) // 2, len(entries)
    said = [{"part": 0, "text": text[:half]}, {"part": 1, "text": text[half:]}]
    named = [{"name": "policy.toml", "parts": 2} | each for each in said]
    digest = hashlib.sha256(text.encode()).hexdigest()
    command = {"verb": "policy.apply", "files": [{"name": "policy.toml", "sha256": digest}]}
    files = [{"name": "policy.toml", "sha256": digest, "seqs": [first, first + 1]}]
    applied = {"files": files, "evaluator": 2} | order(command, policy=2)
    changed = [each | change for each, change in zip(named, parts or ({}, {}), strict=True)]
    return [*entries, *(("policy.file", each) for each in changed), ("policy.applied", applied)]


def test_policy_in_parts_is_verified(tmp_path: Path, honest: Entries) -> None:
    report = judge(tmp_path / "parts.db", apply_in_parts(honest))
    assert report.verdict is Verdict.VERIFIED, report.to_json()


@pytest.mark.parametrize(
    "change",
    [{"name": "other.toml"}, {"part": 0}, {"parts": 3}, {"customer": "acme"}],
    ids=["name", "part", "parts", "customer"],
)
def test_part_of_a_policy_that_is_not_what_it_says_is_found(
    tmp_path: Path, honest: Entries, change: Data
) -> None:
    report = judge(tmp_path / "parts.db", apply_in_parts(honest, {}, change))
    assert {finding.code for finding in report.findings} == {Code.BAD_ORDER}, report.to_json()


def of_policy(entries: Entries) -> Data:
    return find(entries, "policy.applied", 1)


def of_intent(entries: Entries) -> Data:
    return find(entries, "certificate.intent")


@pytest.mark.parametrize("of", [of_policy, of_intent])
def test_what_an_evaluator_decided_that_nobody_knows_is_inconclusive(
    tmp_path: Path, of: Callable[[Entries], Data]
) -> None:
    with running_authority(tmp_path / "honest.db") as authority:
        apply(authority, POLICY + "# another\n")
        authority.ask(identity(), UserRequest(public_key=public_key("ed25519", 1)))
    entries = read_entries(tmp_path / "honest.db")
    of(entries)["evaluator"] = 3
    report = judge(tmp_path / "newer.db", entries)
    assert report.verdict is Verdict.INCONCLUSIVE, report.to_json()
    assert [finding.code for finding in report.findings] == [Code.UNKNOWN_KIND]
