"""The table of schemas: every kind has examples, and anything beside them is a finding."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from audit.verifier import Code
from audit.verifier.entry import parse_entry
from audit.verifier.schemas import SCHEMAS, complaint_about
from unit.verifier.logbook import ALICE, EXAMPLES, ORDER, Data, Logbook

IDS = [f"{kind}-{number}" for number, (kind, _) in enumerate(EXAMPLES)]


def complaint(kind: str, data: object, v: int = 1) -> Code | None:
    found = complaint_about(parse_entry(Logbook().add(kind, data, v=v)))
    return found and found[0]


def example(kind: str, /, **changes: object) -> Data:
    data = next(data for name, data in EXAMPLES if name == kind)
    return {**json.loads(json.dumps(data)), **changes}


def test_every_schema_has_an_example() -> None:
    assert {(kind, 1) for kind, _ in EXAMPLES} == set(SCHEMAS)


@pytest.mark.parametrize(("kind", "data"), EXAMPLES, ids=IDS)
def test_example_fits_its_schema(kind: str, data: Data) -> None:
    assert complaint(kind, data) is None


@pytest.mark.parametrize(("kind", "data"), EXAMPLES, ids=IDS)
def test_example_with_an_unknown_member_is_tampering(kind: str, data: Data) -> None:
    assert complaint(kind, {**data, "zz": 1}) is Code.BAD_DATA


@pytest.mark.parametrize(("kind", "data"), EXAMPLES, ids=IDS)
def test_example_with_a_member_of_another_type_is_tampering(kind: str, data: Data) -> None:
    for name in data:
        assert complaint(kind, {**data, name: [[]]}) is Code.BAD_DATA, name


@pytest.mark.parametrize(("kind", "data"), EXAMPLES, ids=IDS)
def test_example_without_all_its_members_is_tampering(kind: str, data: Data) -> None:
    assert complaint(kind, {}) is Code.BAD_DATA


def test_unknown_kind_and_unknown_version_are_unknown() -> None:
    assert complaint("lunch.served", {"anything": 1}) is Code.UNKNOWN_KIND
    assert complaint("heartbeat", example("heartbeat"), v=2) is Code.UNKNOWN_KIND


def _misfits() -> Iterator[tuple[str, Data]]:
    yield "log.opened", example("log.opened", format=2)
    yield "log.opened", example("log.opened", log_number=0)
    yield "log.opened", example("log.opened", log_number=65_536)
    yield "log.opened", example("log.opened", nonce="AAAA")
    yield "log.opened", example("log.opened", origin="ca example")
    yield "log.opened", example("log.opened", bundle_key="ssh-ed25519 AAAA\nssh-ed25519 AAAA")
    yield "log.opened", example("log.opened", previous=[])
    yield "certificate.intent", example("certificate.intent", host=3)
    yield "certificate.intent", example("certificate.intent", grants=[])
    yield "certificate.intent", example("certificate.intent", window={})
    yield "certificate.intent", example("certificate.intent", tzdata="")
    yield "certificate.intent", example("certificate.intent", ca_key="SHA256:" + "A" * 42)
    yield "certificate.intent", example("certificate.intent", tbs="")
    yield "certificate.intent", example("certificate.intent", tbs="dGJz\n")
    yield "certificate.intent", example("certificate.intent", identity={**ALICE, "groups": ["b", "a"]})
    yield "certificate.intent", example("certificate.intent", identity={**ALICE, "groups": ["a", "a"]})
    yield "certificate.intent", example("certificate.intent", identity={**ALICE, "kind": "root"})
    yield "certificate.intent", example("certificate.intent", identity={**ALICE, "mfa": 1})
    yield (
        "certificate.intent",
        example("certificate.intent", identity={**ALICE, "claims": [{"name": "a", "value": "b"}] * 2}),
    )
    yield "certificate.revoked", {"reason": "lost", "by": 1}
    yield "certificate.revoked", {"serial": "1", "key": "SHA256:" + "A" * 43, "reason": "lost", "by": 1}
    yield "certificate.revoked", {"range": {"first": "1", "last": "2"}, "reason": "lost", "by": 1}
    yield "certificate.revoked", {"serial": "01", "reason": "lost", "by": 1}
    yield "certificate.revoked", {"serial": "1", "reason": "lost", "by": "alice"}
    yield "lock.placed", example("lock.placed", kind="planet")
    yield "lock.placed", example("lock.placed", accounts=["oidc:ada", "ldap:ada"])
    yield "lock.placed", example("lock.placed", accounts=[])
    yield "lock.lifted", example("lock.lifted", lock="17")
    yield "policy.file", example("policy.file", text="é" * 20_001)
    yield "policy.applied", example("policy.applied", orders=[])
    yield "policy.applied", example("policy.applied", command={"word": "policy.apply"})
    yield "policy.applied", example("policy.applied", command={"verb": 1})
    orders = ORDER["orders"]
    assert isinstance(orders, list)
    yield "policy.applied", example("policy.applied", orders=orders[::-1])
    yield "policy.applied", example("policy.applied", orders=[orders[0]] * 2)
    yield "host.registered", example("host.registered", names=["b", "a"])
    yield (
        "host.registered",
        example("host.registered", labels=[{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]),
    )
    yield "host.removed", example("host.removed", reason="")
    yield "credential.created", example("credential.created", kind="robot")
    yield "credential.created", example("credential.created", id="0F")


@pytest.mark.parametrize(("kind", "data"), list(_misfits()))
def test_misfit_is_tampering(kind: str, data: Data) -> None:
    assert complaint(kind, data) is Code.BAD_DATA


def test_message_names_the_member_that_does_not_fit() -> None:
    data = example("certificate.intent", identity={**ALICE, "groups": ["a", 1]})
    found = complaint_about(parse_entry(Logbook().add("certificate.intent", data)))
    assert found is not None
    assert "identity.groups.1: expected a person's name, or provider:subject" in found[1]
