"""What becomes of the entries that are not about certificates. Kinds that are not here answer no question."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.index.portion import Portion
from appliance.index.recorded import Recorded
from appliance.ssh.keys import fingerprint, parse_public_key_line

# A host that nothing has removed ends after every entry that there can be.
NEVER: Final = 2**62

Fold = Callable[[Portion, Recorded, Mapping[str, Any]], None]


def _deny(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    subject = f"{data['identity']['provider']}:{data['identity']['subject']}"
    counted = (data["first_ms"], data["last_ms"], data["count"])
    portion.add("denial", entry.seq, subject, data["rule"], json.dumps(data["request"]), *counted)


def _enter_phase(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.add(
        "ca_phase",
        entry.seq,
        data["name"],
        data["type"],
        data.get("customer"),
        fingerprint(parse_public_key_line(data["public_key"])),
        data["public_key"],
        entry.kind.removeprefix("ca."),
        data["transcript"],
        data.get("attestation"),
        entry.time_ms,
    )


def _halt(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change(
        "INSERT INTO ca_phase"
        "(seq, time_ms, ca, type, customer, fingerprint, public_key, phase, transcript)"
        " SELECT ?, ?, ca, type, customer, fingerprint, public_key, 'halted', '' FROM ca_phase"
        " WHERE ca = ? AND fingerprint = ? ORDER BY seq LIMIT 1",
        entry.seq,
        entry.time_ms,
        data["name"],
        data["ca_key"],
    )


def _register_host(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    _remove_host(portion, entry, data)
    labels = {label["name"]: label["value"] for label in data["labels"]}
    portion.add(
        "host",
        entry.seq,
        data["name"],
        data["customer"],
        json.dumps(data["names"]),
        json.dumps(labels),
        entry.time_ms,
        NEVER,
    )


def _remove_host(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change(
        "UPDATE host SET until_seq = ? WHERE name = ? AND +until_seq = ?", entry.seq, data["name"], NEVER
    )


def _place_lock(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    accounts = json.dumps(data.get("accounts", []))
    by = f"{data['by']['provider']}:{data['by']['subject']}"
    named = (data["kind"], data["name"], accounts, data["reason"], by)
    portion.add("lock", entry.seq, *named, entry.time_ms, NEVER, None)


def _lift_lock(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change(
        "UPDATE lock SET until_seq = ?, until_ms = ? WHERE seq = ?", entry.seq, entry.time_ms, data["lock"]
    )


def _keep_part(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.add("policy_part", entry.seq, data["name"], data["text"])


def _apply_policy(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.add("policy", entry.seq, entry.time_ms, json.dumps(data.get("holidays", [])))
    texts: dict[int, str] = dict(portion.read("SELECT seq, text FROM policy_part"))
    for position, file in enumerate(data["files"]):
        text = "".join(texts[seq] for seq in file["seqs"])
        portion.add("policy_file", entry.seq, position, file["name"], text)
    portion.change("DELETE FROM policy_part")


def _create_credential(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    known = [data[name] for name in ("id", "subject", "kind", "secret_sha256")]
    limits = (data.get("expires_s"), data.get("uses"))
    portion.add("credential", *known, entry.time_ms, *limits, 0, None, None)


def _use_credential(portion: Portion, _entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change("UPDATE credential SET used = used + 1 WHERE id = ?", data["id"])


def _revoke_credential(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change(
        "UPDATE credential SET revoked_ms = ?, revoked_reason = ? WHERE id = ?",
        entry.time_ms,
        data["reason"],
        data["id"],
    )


def _book_leave(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    source = data.get("source", {})
    feed, uid = source.get("feed"), source.get("uid")
    # One that says what another says takes its place, as in the state that decisions rest on.
    same = "person = ? AND starts_s = ? AND ends_s = ? AND feed IS ? AND uid IS ? AND ended IS NULL"
    values = (data["person"], data["starts_s"], data["ends_s"], feed, uid)
    for (replaced,) in portion.read(f"SELECT seq FROM leave WHERE {same}", *values):  # noqa: S608 - constants
        _end_leave(portion, entry, replaced, "replaced")
    person = (data["person"], json.dumps(data["identities"]), data["starts_s"], data["ends_s"])
    portion.add("absence", entry.seq, entry.seq, *person, NEVER)
    portion.add(
        "leave",
        entry.seq,
        data["person"],
        json.dumps(data["identities"]),
        data["starts_s"],
        data["ends_s"],
        data["ends_s"],
        data.get("timezone"),
        data.get("reason"),
        feed,
        uid,
        _name(data["by"]),
        entry.time_ms,
        None,
        None,
        None,
    )


def _withdraw_leave(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.change("UPDATE leave SET withdrawn_ms = ? WHERE seq = ?", entry.time_ms, data["leave"])


def _cancel_leave(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    if "ends_s" not in data:
        _end_leave(portion, entry, data["leave"], "cancelled")
        return
    sql = "UPDATE leave SET ends_s = ?, withdrawn_ms = NULL WHERE seq = ?"
    portion.change(sql, data["ends_s"], data["leave"])
    _end_absence(portion, entry, data["leave"])
    portion.change(
        "INSERT INTO absence(seq, leave, person, identities, starts_s, ends_s, until_seq)"
        " SELECT ?, leave, person, identities, starts_s, ?, ? FROM absence WHERE leave = ? AND until_seq = ?",
        *(entry.seq, data["ends_s"], NEVER, data["leave"], entry.seq),
    )


def _end_leave(portion: Portion, entry: Recorded, leave: int, how: str) -> None:
    portion.change("UPDATE leave SET ended = ?, ended_ms = ? WHERE seq = ?", how, entry.time_ms, leave)
    _end_absence(portion, entry, leave)


def _end_absence(portion: Portion, entry: Recorded, leave: int) -> None:
    sql = "UPDATE absence SET until_seq = ? WHERE leave = ? AND until_seq = ?"
    portion.change(sql, entry.seq, leave, NEVER)


def _request_approval(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.add("evidence", entry.seq, entry.seq, entry.raw)
    asked = (_name(data["identity"]), data["grant"], data["reason"])
    portion.add("approval", entry.seq, *asked, entry.time_ms, data["answer_by_s"], data["ttl_s"])


def _answer_approval(portion: Portion, entry: Recorded, data: Mapping[str, Any]) -> None:
    portion.add("evidence", entry.seq, data["approval"], entry.raw)
    answer = entry.kind.removeprefix("approval.")
    answered = (data["approval"], data["person"], answer, data["expires_s"], data.get("reason"))
    portion.add("approval_answer", entry.seq, *answered, entry.time_ms)


def _name(identity: Mapping[str, Any]) -> str:
    return f"{identity['provider']}:{identity['subject']}"


FOLDS: Final[Mapping[str, Fold]] = {
    "certificate.denied": _deny,
    "ca.created": _enter_phase,
    "ca.trusted": _enter_phase,
    "ca.signing": _enter_phase,
    "ca.retired": _enter_phase,
    "ca.halted": _halt,
    "host.registered": _register_host,
    "host.removed": _remove_host,
    "lock.placed": _place_lock,
    "lock.lifted": _lift_lock,
    "policy.file": _keep_part,
    "policy.applied": _apply_policy,
    "credential.created": _create_credential,
    "credential.used": _use_credential,
    "credential.revoked": _revoke_credential,
    "leave.booked": _book_leave,
    "leave.withdrawn": _withdraw_leave,
    "leave.cancelled": _cancel_leave,
    "approval.requested": _request_approval,
    "approval.given": _answer_approval,
    "approval.refused": _answer_approval,
}
