"""CA keys in logs of sound structure that took a step which they could not take, or serve two purposes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from appliance.evidence.findings import Code
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint, format_public_key_line
from audit.verifier import Verdict
from hsm.keys import PKCS11ECPrivateKey
from support.authority import identity, order, running_authority
from support.forging import Data, Entries, find, judge, read_entries
from support.ssh_examples import private_key, public_key

KEY = public_key("ed25519", 1)
USERS = public_key("nistp256", 11)
SIGNING = ("created", "trusted", "signing")
WAITING = ("created", "trusted")
COMMON = {"name": "users", "type": "user", "customer": "acme", "transcript": "made in software for a test"}


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return what an authority wrote: two certificates of a user and one of a host."""
    path = tmp_path / "honest.db"
    with running_authority(path) as authority:
        authority.ask(identity(), UserRequest(public_key=KEY))
        authority.ask(identity("carol"), HostRequest(public_key=KEY, host="web-1.acme.example"))
    return read_entries(path)


@pytest.fixture
def halted(tmp_path: Path) -> Entries:
    """Return what an authority wrote whose token gave a bad signature for one of two certificates."""
    path = tmp_path / "halted.db"
    with running_authority(path) as authority:
        public = private_key("nistp256", 11).public_key()
        assert isinstance(public, EllipticCurvePublicKey)
        authority.keys[fingerprint(USERS)] = PKCS11ECPrivateKey(public, lambda _data: bytes([1]) * 64)
        authority.ask(identity(), UserRequest(public_key=KEY, logins=("deploy",)))
    return read_entries(path)


def codes(path: Path, entries: Entries) -> set[Code]:
    report = judge(path, entries)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    return {finding.code for finding in report.findings}


def rotate(entries: Entries, *, step: str = "promote", of: int = 13, **flags: Any) -> None:
    """Append a rotation of the user CA: the next key, trusted, and a step of that or of the old one."""
    key = public_key("nistp256", 13)
    made = {"verb": "ca.rotate", "name": "users", "algorithm": "ecdsa-p256", "phase": "trusted"}
    data = COMMON | {"public_key": format_public_key_line(key)}
    for phase in ("created", "trusted"):
        entries.append((f"ca.{phase}", data | order(made, policy=2)))
    key = public_key("nistp256", of)
    ordered = {"verb": f"ca.{step}", "name": "users", "key": fingerprint(key), **flags}
    data = COMMON | {"public_key": format_public_key_line(key)}
    entries.append(("ca.signing" if step == "promote" else "ca.retired", data | order(ordered, policy=2)))


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ({"now": True}, Verdict.VERIFIED),
        ({}, Verdict.TAMPERED),  # nobody ordered that it shall not wait
        ({"step": "retire", "of": 13}, Verdict.VERIFIED),
        ({"step": "retire", "of": 11}, Verdict.TAMPERED),  # it signs
        ({"now": True, "of": 14}, Verdict.TAMPERED),  # there is no such key
    ],
)
def test_rotation_is_judged_by_its_rules(
    tmp_path: Path, honest: Entries, steps: dict[str, Any], verdict: Verdict
) -> None:
    rotate(honest, **steps)
    report = judge(tmp_path / "rotated.db", honest)
    assert report.verdict is verdict, report.to_json()
    if verdict is Verdict.TAMPERED:
        assert {finding.code for finding in report.findings} == {Code.WRONG_STEP}


def test_key_that_retires_while_certificates_of_it_are_live_is_found(tmp_path: Path, honest: Entries) -> None:
    rotate(honest, now=True)
    retire = {"verb": "ca.retire", "name": "users", "key": fingerprint(public_key("nistp256", 11))}
    data = {
        "name": "users", "type": "user", "customer": "acme", "transcript": "",
        "public_key": format_public_key_line(public_key("nistp256", 11)),
    }  # fmt: skip
    forced = judge(
        tmp_path / "f.db", [*honest, ("ca.retired", data | order(retire | {"force": True}, policy=2))]
    )
    assert forced.verdict is Verdict.VERIFIED, forced.to_json()
    report = judge(tmp_path / "r.db", [*honest, ("ca.retired", data | order(retire, policy=2))])
    assert [finding.code for finding in report.findings] == [Code.WRONG_STEP]


def test_second_key_under_one_order_is_found(tmp_path: Path, honest: Entries) -> None:
    rotate(honest, now=True)
    create = {
        "verb": "ca.create", "name": "spare", "type": "user", "algorithm": "ed25519", "customer": "acme",
        "phase": "created",
    }  # fmt: skip
    for seed in (31, 32):
        data = {
            "name": "spare", "type": "user", "customer": "acme", "transcript": "",
            "public_key": format_public_key_line(public_key("ed25519", seed)),
        }  # fmt: skip
        honest.append(("ca.created", data | order(create, policy=2)))
    report = judge(tmp_path / "second.db", honest)
    # It was carried out before, and the first of them waits to sign.
    assert [finding.code for finding in report.findings] == [Code.BAD_ORDER, Code.WRONG_STEP]


def test_halt_lets_the_next_key_sign_at_once(tmp_path: Path, halted: Entries) -> None:
    assert [kind for kind, _ in halted[-2:]] == ["certificate.failed", "ca.halted"]
    rotate(halted)
    report = judge(tmp_path / "again.db", halted)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def halt_of_another_ca(data: Data) -> None:
    data["name"] = "hosts"


def halt_of_another_key(data: Data) -> None:
    data.update(name="hosts", ca_key=fingerprint(public_key("ed25519", 11)))


def halt_for_no_intent(data: Data) -> None:
    data["intent"] = 3


@pytest.mark.parametrize("forge", [halt_of_another_ca, halt_of_another_key, halt_for_no_intent])
def test_halt_that_its_intent_does_not_show_is_found(tmp_path: Path, halted: Entries, forge: Any) -> None:
    forge(halted[-1][1])
    assert codes(tmp_path / "forged.db", halted) == {Code.WRONG_STEP}


@pytest.mark.parametrize("kept", [1, 2], ids=["issued", "under way"])
def test_halt_without_a_signature_that_failed_is_found(tmp_path: Path, honest: Entries, kept: int) -> None:
    places = [place for place, (kind, _) in enumerate(honest) if kind == "certificate.intent"]
    data = {"name": "users", "ca_key": fingerprint(USERS), "intent": places[0], "reason": "x"}
    outcome = next(place for place, (kind, _) in enumerate(honest) if kind == "certificate.issued")
    honest.insert(outcome + (kept == 1), ("ca.halted", data))
    assert Code.WRONG_STEP in codes(tmp_path / "forged.db", honest)


def test_halt_some_time_after_the_failure_is_found(tmp_path: Path, halted: Entries) -> None:
    rotate(halted, step="retire", of=13)
    halted.append(halted.pop(-4))
    assert codes(tmp_path / "forged.db", halted) == {Code.WRONG_STEP}


def test_halt_for_a_token_that_was_not_asked_is_found(tmp_path: Path, halted: Entries) -> None:
    halted[-2][1]["requested"] = False
    assert codes(tmp_path / "forged.db", halted) == {Code.WRONG_STEP}


def make_key(seed: int, *phases: str, verb: str = "ca.create", name: str = "users") -> Entries:
    """Return the entries of a new key of a user CA that go through these phases by one order."""
    command = {"verb": verb, "name": name, "algorithm": "ecdsa-p256", "phase": phases[-1]}
    if verb == "ca.create":
        command |= {"type": "user", "customer": "acme"}
    line = format_public_key_line(public_key("nistp256", seed))
    data = COMMON | {"name": name, "public_key": line} | order(command, policy=2)
    return [(f"ca.{phase}", data) for phase in phases]


@pytest.mark.parametrize(
    "made",
    [
        make_key(11, "created"),  # on record already
        make_key(13, *SIGNING),  # another one signs
        make_key(13, "created", "trusted", verb="ca.rotate")[1:],
        # The other phases by an order of their own, which is for making the key.
        [*make_key(13, "created", name="spare"), *make_key(13, *SIGNING, name="spare")[1:]],
        make_key(13, *SIGNING, name="spare")[::2],
        make_key(13, *SIGNING, name="spare")[:2],
        [*make_key(13, *SIGNING, name="spare")[:2], *make_key(14, *SIGNING, name="other")],
        2 * make_key(13, "created", "trusted", verb="ca.rotate")[:1],
        [*make_key(13, *WAITING, verb="ca.rotate"), *make_key(14, "created", verb="ca.rotate")],
        make_key(13, *WAITING, verb="ca.rotate", name="spare"),
    ],
    ids=[
        "again",
        "second that signs",
        "not created",
        "by another order",
        "not trusted",
        "not signing at the end",
        "not signing",
        "created twice",
        "second that waits",
        "no CA",
    ],
)
def test_new_key_that_could_not_come_is_found(tmp_path: Path, honest: Entries, made: Entries) -> None:
    assert codes(tmp_path / "forged.db", [*honest, *made]) == {Code.WRONG_STEP}


def of_another_algorithm(data: Data) -> None:
    data["public_key"] = format_public_key_line(public_key("ed25519", 13))


def of_another_name(data: Data) -> None:
    data["name"] = "other"


def of_another_type(data: Data) -> None:
    data["type"] = "host"


def of_another_customer(data: Data) -> None:
    data["customer"] = "globex"


@pytest.mark.parametrize(
    "forge", [of_another_algorithm, of_another_name, of_another_type, of_another_customer]
)
def test_new_key_that_is_not_as_it_was_ordered_is_found(tmp_path: Path, honest: Entries, forge: Any) -> None:
    made = make_key(13, "created", name="spare")
    forge(made[0][1])
    assert codes(tmp_path / "forged.db", [*honest, *made]) == {Code.BAD_ORDER}


@pytest.mark.parametrize("kind", ["ca.retired", "ca.created"])
def test_step_that_is_not_the_one_that_was_ordered_is_found(
    tmp_path: Path, honest: Entries, kind: str
) -> None:
    rotate(honest, now=True)
    honest[-1] = (kind, honest[-1][1])
    assert Code.BAD_ORDER in codes(tmp_path / "forged.db", honest)


def test_ca_of_another_type_than_before_is_found(tmp_path: Path, honest: Entries) -> None:
    hosts = make_key(13, "created", name="hosts")
    assert codes(tmp_path / "forged.db", [*honest, *hosts]) == {Code.WRONG_STEP}


@pytest.mark.parametrize("purpose", ["bundle", "probe"])
def test_ca_key_that_serves_another_purpose_too_is_found(
    tmp_path: Path, honest: Entries, purpose: str
) -> None:
    line = find(honest, "log.opened")[f"{purpose}_key"]
    command = {
        "verb": "ca.create",
        "name": "spare",
        "type": "user",
        "algorithm": "ed25519",
        "phase": "created",
    }
    data = {"name": "spare", "type": "user", "transcript": "", "public_key": line}
    honest.append(("ca.created", data | order(command, policy=2)))
    assert codes(tmp_path / "forged.db", honest) == {Code.SHARED_KEY}


def test_key_of_two_cas_is_found(tmp_path: Path, honest: Entries) -> None:
    spare = make_key(11, "created", name="spare")
    assert codes(tmp_path / "forged.db", [*honest, *spare]) == {Code.SHARED_KEY}


def test_log_whose_bundles_and_probes_have_one_key_is_found(tmp_path: Path, honest: Entries) -> None:
    opened = find(honest, "log.opened")
    opened["bundle_key"] = opened["probe_key"]
    assert codes(tmp_path / "forged.db", honest) == {Code.SHARED_KEY}


def test_certificate_for_a_key_of_the_appliance_is_found(tmp_path: Path, honest: Entries) -> None:
    made = make_key(13, "created", name="spare")
    key = format_public_key_line(public_key("nistp256", 13))
    intent = find(honest, "certificate.intent")
    intent["request"]["public_key"] = key
    place = next(place for place, (kind, _) in enumerate(honest) if kind == "host.registered")
    honest[place:place] = made
    assert Code.WRONG_INTENT in codes(tmp_path / "forged.db", honest)
