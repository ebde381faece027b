"""Ledgers whose structure is sound and whose meaning is not: each forgery is found for what it is."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.evidence.findings import Code
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.certificate import decode_tbs, encode_tbs
from appliance.ssh.keys import fingerprint
from appliance.ssh.signature import sign
from audit.verifier import Verdict
from support.authority import NOW_MS, identity, running_authority
from support.forging import Data, Entries, find, judge, read_entries
from support.ssh_examples import private_key, public_key

KEY = public_key("ed25519", 1)


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return what an authority wrote: two certificates of a user, one of a host, a refusal."""
    path = tmp_path / "honest.db"
    with running_authority(path) as authority:
        authority.ask(identity(), UserRequest(public_key=KEY))
        authority.ask(identity("carol"), HostRequest(public_key=KEY, host="web-1.acme.example"))
        authority.ask(identity("mallory"), UserRequest(public_key=KEY))
    return read_entries(path)


def test_honest_log_is_verified_and_says_what_was_checked(tmp_path: Path, honest: Entries) -> None:
    report = judge(tmp_path / "again.db", honest)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert report.checked == {
        "order signatures": 4,
        "key phases": 6,
        "policies": 1,
        "registrations": 1,
        "replayed decisions": 3,
        "outcomes": 3,
        "CA signatures": 3,
        "replayed refusals": 1,
    }


def rewrite(data: Data, ca: str, **changes: Any) -> bytes:
    """Change what an intent's certificate says."""
    content = decode_tbs(base64.b64decode(data["tbs"]))
    fields = {name: getattr(content, name) for name in content.__dataclass_fields__}
    tbs = encode_tbs(type(content)(**(fields | changes)))
    data["tbs"] = base64.b64encode(tbs).decode()
    return sign(private_key(ca, 11), tbs)


def forge_principals(entries: Entries) -> None:
    signature = rewrite(find(entries, "certificate.intent"), "nistp256", principals=("root@web",))
    find(entries, "certificate.issued")["signature"] = base64.b64encode(signature).decode()


def forge_longer_life(entries: Entries) -> None:
    signature = rewrite(
        find(entries, "certificate.intent"), "nistp256", valid_before=NOW_MS // 1000 + 9 * 3600
    )
    find(entries, "certificate.issued")["signature"] = base64.b64encode(signature).decode()


def forge_dropped_command(entries: Entries) -> None:
    number = next(
        number
        for number in range(2)
        if decode_tbs(base64.b64decode(find(entries, "certificate.intent", number)["tbs"])).critical_options
    )
    signature = rewrite(find(entries, "certificate.intent", number), "nistp256", critical_options=())
    find(entries, "certificate.issued", number)["signature"] = base64.b64encode(signature).decode()


def forge_serial(entries: Entries) -> None:
    signature = rewrite(find(entries, "certificate.intent"), "nistp256", serial=(1 << 48) | 999)
    find(entries, "certificate.issued")["signature"] = base64.b64encode(signature).decode()


def forge_requester(entries: Entries) -> None:
    find(entries, "certificate.intent")["identity"]["subject"] = "mallory"


def forge_policy_seq(entries: Entries) -> None:
    find(entries, "certificate.intent")["policy"] = 1


def forge_ca_key(entries: Entries) -> None:
    find(entries, "certificate.intent")["ca_key"] = fingerprint(KEY)


def forge_ca_signature(entries: Entries) -> None:
    issued = find(entries, "certificate.issued")
    tbs = base64.b64decode(find(entries, "certificate.intent")["tbs"])
    issued["signature"] = base64.b64encode(sign(private_key("nistp256", 12), tbs)).decode()


def forge_second_outcome(entries: Entries) -> None:
    entries.append(("certificate.issued", copy.deepcopy(find(entries, "certificate.issued"))))


def forge_lost_outcome(entries: Entries) -> None:
    entries.remove(("certificate.issued", find(entries, "certificate.issued", 2)))


def forge_abandoned(entries: Entries) -> None:
    place = next(place for place, (kind, _) in enumerate(entries) if kind == "certificate.issued")
    data = {"intent": entries[place][1]["intent"], "reason": "too late", "requested": False}
    entries[place] = ("certificate.abandoned", data)


def forge_refusal(entries: Entries) -> None:
    find(entries, "certificate.denied")["identity"]["subject"] = "alice"


def forge_order_signature(entries: Entries) -> None:
    order = find(entries, "host.registered")["orders"][0]
    blob = bytearray(base64.b64decode(order["signature"]))
    blob[-1] ^= 1
    order["signature"] = base64.b64encode(bytes(blob)).decode()


def forge_carried_out(entries: Entries) -> None:
    find(entries, "host.registered")["labels"] = [{"name": "role", "value": "db"}]


def forge_ordering_operator(entries: Entries) -> None:
    find(entries, "ca.created")["orders"][0]["operator"] = "dave"


def forge_policy_text(entries: Entries) -> None:
    find(entries, "policy.file")["text"] += "# and more\n"


def forge_revoker(entries: Entries) -> None:
    content = decode_tbs(base64.b64decode(find(entries, "certificate.intent")["tbs"]))
    data = {
        "serial": str(content.serial),
        "reason": "x",
        "by": find(entries, "certificate.denied")["identity"],
    }
    entries.append(("certificate.revoked", data))


FORGERIES: Mapping[Callable[[Entries], None], set[Code]] = {
    forge_principals: {Code.NOT_ALLOWED},
    forge_longer_life: {Code.NOT_ALLOWED},
    forge_dropped_command: {Code.NOT_ALLOWED},
    forge_serial: {Code.NOT_ALLOWED},
    forge_requester: {Code.NOT_ALLOWED},
    forge_policy_seq: {Code.WRONG_INTENT},
    forge_ca_key: {Code.WRONG_INTENT},
    forge_ca_signature: {Code.BAD_CA_SIGNATURE},
    forge_second_outcome: {Code.WRONG_OUTCOME},
    forge_abandoned: {Code.WRONG_OUTCOME},
    forge_refusal: {Code.WRONG_DENIAL},
    forge_order_signature: {Code.BAD_ORDER},
    forge_carried_out: {Code.BAD_ORDER},
    forge_ordering_operator: {Code.BAD_ORDER, Code.WRONG_STEP},
    forge_policy_text: {Code.BAD_MEANING},
    forge_revoker: {Code.NOT_ENTITLED},
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forgery_is_found(tmp_path: Path, honest: Entries, forge: Callable[[Entries], None]) -> None:
    forge(honest)
    report = judge(tmp_path / "forged.db", honest)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == FORGERIES[forge], report.to_json()


def test_intent_without_an_outcome_is_inconclusive(tmp_path: Path, honest: Entries) -> None:
    forge_lost_outcome(honest)
    report = judge(tmp_path / "open.db", honest)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [finding.code for finding in report.findings] == [Code.OPEN_INTENT]


@pytest.mark.parametrize("newer", ["another kind", "another version"])
def test_log_that_a_newer_version_wrote_is_inconclusive_whatever_rests_on_its_entries(
    tmp_path: Path, honest: Entries, newer: str
) -> None:
    place = next(place for place, (kind, _) in enumerate(honest) if kind == "policy.applied")
    data = honest[place][1]
    path = tmp_path / "newer.db"
    if newer == "another kind":
        honest[place] = ("policy.adopted", data)
        report = judge(path, honest)
    else:
        report = judge(path, honest, versions={place: 2})
    assert report.verdict is Verdict.INCONCLUSIVE, report.to_json()
    assert [(finding.code, finding.seq) for finding in report.findings] == [(Code.UNKNOWN_KIND, place)]


def test_what_comes_after_a_booking_and_is_not_understood_may_be_its_revocation(
    tmp_path: Path, honest: Entries
) -> None:
    person = find(honest, "certificate.intent")["identity"]
    name = f"{person['provider']}:{person['subject']}"
    leave = {"person": name, "identities": [name], "starts_s": NOW_MS // 1000, "ends_s": NOW_MS // 1000 + 60}
    honest += [("leave.booked", leave | {"by": person}), ("certificate.withdrawn", {})]
    report = judge(tmp_path / "newer.db", honest)
    assert report.verdict is Verdict.INCONCLUSIVE, report.to_json()


def hostile() -> Iterator[tuple[str, str, Any]]:
    for value in ("", "AAAA", "!"):
        yield "certificate.intent", "tbs", value
        yield "certificate.issued", "signature", value
    yield "certificate.intent", "request", {"public_key": "ssh-ed25519 AAAA"}
    yield "certificate.intent", "request", {"public_key": 5, "host": []}
    yield "certificate.issued", "intent", 2
    yield "ca.created", "public_key", "ssh-ed25519 AAAA"
    yield "policy.file", "text", "version = 2"
    yield "host.registered", "command", {"verb": "host.add"}


@pytest.mark.parametrize(("kind", "member", "value"), list(hostile()))
def test_malformed_data_is_a_finding_and_never_an_exception(
    tmp_path: Path, honest: Entries, kind: str, member: str, value: object
) -> None:
    find(honest, kind)[member] = value
    report = judge(tmp_path / "malformed.db", honest)
    assert report.verdict is Verdict.TAMPERED
