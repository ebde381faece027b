"""The schemas of entry data, one for each (kind, version): the table that a new kind is added to.

A schema is never changed once entries of it exist; a change is a new version beside it. Members that a
schema does not name are tampering, a (kind, version) that the table does not name is inconclusive.
docs/formats/ledger.md and docs/formats/entries.md say what the members mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .entry import Entry
from .report import Code
from .shapes import (
    MismatchError,
    Shape,
    base64,
    either,
    flag,
    integer,
    list_of,
    matching,
    object_with,
    one_of,
    record,
    set_of,
    text,
    text_up_to,
    vkey,
    with_one_of,
)

COUNT: Final = integer(1)
SEQ: Final = integer()
SECONDS: Final = integer()
MILLISECONDS: Final = integer()
NAME: Final = matching(r"[^\x00-\x1f\x7f]{1,255}", "a name: 1 to 255 characters, no control characters")
SERIAL: Final = matching(r"0|[1-9][0-9]{0,19}", "a 64-bit number as a decimal string")
SHA256_HEX: Final = matching(r"[0-9a-f]{64}", "64 lower-case hex digits")
FINGERPRINT: Final = matching(r"SHA256:[A-Za-z0-9+/]{43}", "a fingerprint as ssh-keygen -l prints it")
OPENSSH_LINE: Final = matching(
    r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?", "a public key as one OpenSSH line"
)
# A person of the policy by name, or an identity that no person has: its provider, a colon and a subject.
PERSON: Final = matching(r"[^\x00-\x1f\x7f]{1,288}", "a person's name, or provider:subject")
# Without space or plus, because it is the name in a signed note's key.
ORIGIN: Final = matching(r"[^\s+\x00-\x1f]{1,255}", "an origin such as ca.example.org/log/1")

CREDENTIAL_ID: Final = matching(r"([0-9a-f]{2}){1,64}", "lower-case hex digits, an even number")
AN_OBJECT: Final = object_with()

PAIR: Final = record({"name": NAME, "value": text})
PAIRS: Final = set_of(PAIR, by=("name", "value"))
IDENTITY: Final = record(
    {
        "provider": NAME,
        "subject": NAME,
        "kind": one_of("user", "service", "host"),
        "groups": set_of(PERSON),  # each of a provider, whose name comes before its own
        "claims": PAIRS,
        "mfa": flag,
        "authenticated_ms": MILLISECONDS,
    },
    {"source_address": NAME},
)

# An order by operators: the canonical command, and who signed it under which policy.
ORDERED: Final[Mapping[str, Shape]] = {
    "command": object_with(verb=text),
    "orders": set_of(
        record({"operator": NAME, "policy": SEQ, "expires_s": SECONDS, "signature": base64()}),
        by=("operator",),
        least=1,
    ),
}
NODE: Final = record({"node": NAME, "software": text, "size": SEQ, "root": SHA256_HEX})
CA: Final = record(
    {
        "name": NAME,
        "type": one_of("user", "host"),
        "public_key": OPENSSH_LINE,
        "transcript": text,
        **ORDERED,
    },
    {"customer": NAME, "attestation": base64()},
)
ANSWER: Final = record(
    {"approval": SEQ, "person": NAME, "expires_s": SECONDS, "signature": base64()}, {"reason": text}
)
# Holidays as they were looked up when a policy was applied.
CALENDAR: Final = record(
    {
        "calendar": NAME,
        "dates": set_of(matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "a day such as 2026-12-25")),
    },
    {"first_year": COUNT, "last_year": COUNT},
)
UNFULFILLED: Final = record({"intent": SEQ, "reason": text, "requested": flag})

SCHEMAS: Final[Mapping[tuple[str, int], Shape]] = {
    ("log.opened", 1): record(
        {
            "format": integer(1, 1),
            "origin": ORIGIN,
            "log_number": integer(1, 65535),
            "nonce": base64(32),
            "ledger_key": vkey,
            "bundle_key": OPENSSH_LINE,
            "probe_key": OPENSSH_LINE,
            "max_ttl_s": SECONDS,
            "software": text,
        },
        {"previous": list_of(record({"checkpoint": text, "status": one_of("closed", "hold")}))},
    ),
    ("log.key_changed", 1): record({"ledger_key": vkey, **ORDERED}),
    ("log.closed", 1): record({"reason": text, **ORDERED}),
    ("node.started", 1): NODE,
    ("node.stopped", 1): NODE,
    ("heartbeat", 1): NODE,
    ("certificate.intent", 1): with_one_of(
        record(
            {
                "ca": NAME,
                "ca_key": FINGERPRINT,
                "identity": IDENTITY,
                "request": AN_OBJECT,
                "policy": SEQ,
                "evaluator": COUNT,
                "tbs": base64(),
            },
            {
                "grants": list_of(record({"file": NAME, "name": NAME}), least=1),
                "host": SEQ,
                "on_behalf_of": IDENTITY,
                "window": record({}, {"opens_s": SECONDS, "closes_s": SECONDS}),
                "tzdata": text,
                "idempotency": record({"key": SHA256_HEX, "request": SHA256_HEX}),
                "approvals": list_of(SEQ, least=1),
            },
        ),
        ("grants",),
        ("host",),
    ),
    ("certificate.issued", 1): record({"intent": SEQ, "signature": base64()}),
    ("certificate.failed", 1): UNFULFILLED,
    ("certificate.abandoned", 1): UNFULFILLED,
    ("certificate.denied", 1): record(
        {
            "identity": IDENTITY,
            "request": AN_OBJECT,
            "rule": text,
            "first_ms": MILLISECONDS,
            "last_ms": MILLISECONDS,
            "count": COUNT,
        },
        {
            "on_behalf_of": IDENTITY,
            "shortened": record(
                {}, {"identity": SHA256_HEX, "on_behalf_of": SHA256_HEX, "request": SHA256_HEX}
            ),
        },
    ),
    ("certificate.revoked", 1): with_one_of(
        record(
            {"reason": text, "by": either(IDENTITY, SEQ)},
            {
                "serial": SERIAL,
                "key": FINGERPRINT,
                "ca_key": FINGERPRINT,
                "range": record({"first": SERIAL, "last": SERIAL}),
            },
        ),
        ("serial",),
        ("key",),
        ("ca_key", "range"),
    ),
    ("lock.placed", 1): record(
        {
            "kind": one_of("person", "identity", "group", "service", "host", "key", "ca"),
            "name": NAME,
            "reason": text,
            "by": IDENTITY,
        },
        {"accounts": set_of(NAME)},
    ),
    ("lock.lifted", 1): record({"lock": SEQ, **ORDERED}, {"reason": text}),
    ("policy.file", 1): record(
        {
            "name": NAME,
            "part": SEQ,
            "parts": COUNT,
            "text": text_up_to(40_000),
        },
        {"customer": NAME},
    ),
    ("policy.applied", 1): record(
        {
            "files": list_of(
                record({"name": NAME, "sha256": SHA256_HEX, "seqs": list_of(SEQ, least=1)}), least=1
            ),
            "evaluator": COUNT,
            **ORDERED,
        },
        {"holidays": set_of(CALENDAR, by=("calendar",))},
    ),
    ("ca.created", 1): CA,
    ("ca.trusted", 1): CA,
    ("ca.signing", 1): CA,
    ("ca.retired", 1): CA,
    ("ca.halted", 1): record({"name": NAME, "ca_key": FINGERPRINT, "intent": SEQ, "reason": text}),
    ("host.registered", 1): record(
        {
            "name": NAME,
            "customer": NAME,
            "names": set_of(NAME),
            "labels": set_of(PAIR, by=("name",)),
            **ORDERED,
        }
    ),
    ("host.removed", 1): record({"name": NAME, **ORDERED}, {"reason": text}),
    ("credential.created", 1): record(
        {
            "id": CREDENTIAL_ID,
            "subject": NAME,
            "kind": one_of("user", "service", "host"),
            "secret_sha256": SHA256_HEX,
            **ORDERED,
        },
        {"expires_s": SECONDS, "uses": COUNT},
    ),
    ("credential.used", 1): record({"id": CREDENTIAL_ID}),
    ("credential.revoked", 1): record(
        {
            "id": CREDENTIAL_ID,
            "reason": text,
            "by": IDENTITY,
        }
    ),
    ("leave.booked", 1): record(
        {
            "person": PERSON,
            "identities": set_of(PERSON, least=1),
            "starts_s": SECONDS,
            "ends_s": SECONDS,
            "by": IDENTITY,
        },
        {"timezone": NAME, "reason": text, "source": record({"feed": NAME, "uid": NAME})},
    ),
    ("leave.withdrawn", 1): record({"leave": SEQ, "by": IDENTITY}),
    ("leave.cancelled", 1): record({"leave": SEQ, **ORDERED}, {"ends_s": SECONDS}),
    ("approval.requested", 1): record(
        {"identity": IDENTITY, "grant": NAME, "reason": text, "answer_by_s": SECONDS, "ttl_s": SECONDS}
    ),
    ("approval.given", 1): ANSWER,
    ("approval.refused", 1): ANSWER,
}

# Kinds whose `size` and `root` state what the tree was before the entry; the verifier holds them to it.
TREE_CLAIMS: Final = frozenset({"node.started", "node.stopped", "heartbeat"})


def complaint_about(entry: Entry) -> tuple[Code, str] | None:
    """Return what is wrong with the form of an entry's data; None if its schema is known and met."""
    shape = SCHEMAS.get((entry.kind, entry.v))
    if shape is None:
        return (
            Code.UNKNOWN_KIND,
            f"no schema is known for {entry.kind} version {entry.v}; a newer verifier may",
        )
    try:
        shape(entry.data)
    except MismatchError as mismatch:
        return Code.BAD_DATA, f"{entry.kind}: {mismatch}"
    return None
