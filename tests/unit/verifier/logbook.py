"""A ledger for the verifier's tests: written plainly from docs/formats/ledger.md, in memory, with any flaw.

The tree is the recursive definition of RFC 6962 section 2.1 and the JSON is what the standard library makes
of sorted members: a third way beside writer and verifier, so that the verifier has something to be wrong
about.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.verifier import Finding
from audit.verifier.sources import StoredCheckpoint, StoredEntry

ORIGIN = "ca.example.org/log/1"
START_MS = 1_764_000_000_000
BUNDLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g bundle"
PROBE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICAfHh0cGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIB"
FINGERPRINT = "SHA256:" + "A" * 43
ALICE = {
    "provider": "oidc",
    "subject": "alice",
    "kind": "user",
    "groups": ["oidc:dba", "oidc:ops"],
    "claims": [{"name": "acr", "value": "mfa"}, {"name": "hd", "value": "example.org"}],
    "mfa": True,
    "authenticated_ms": START_MS,
    "source_address": "192.0.2.7",
}
ORDER = {
    "command": {"verb": "some.verb", "anything": [1, "two", {"three": False}]},
    "orders": [
        {"operator": "alice", "policy": 0, "expires_s": 1_764_000_600, "signature": "U1NIU0lH"},
        {"operator": "bob", "policy": 0, "expires_s": 1_764_000_600, "signature": "U1NIU0lH"},
    ],
}

Data = dict[str, object]


@dataclass(frozen=True)
class Signer:
    """A software ledger key."""

    key: Ed25519PrivateKey | EllipticCurvePrivateKey
    name: str = ORIGIN

    @classmethod
    def ed25519(cls, seed: int, name: str = ORIGIN) -> Signer:
        return cls(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32), name)

    @classmethod
    def p256(cls, secret: int, name: str = ORIGIN) -> Signer:
        return cls(derive_private_key(secret, SECP256R1()), name)

    @property
    def _id_and_material(self) -> tuple[bytes, bytes]:
        if isinstance(self.key, Ed25519PrivateKey):
            material = b"\x01" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return sha256(self.name.encode() + b"\n" + material).digest()[:4], material
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(spki).digest()[:4], b"\x02" + spki

    @property
    def vkey(self) -> str:
        key_id, material = self._id_and_material
        return f"{self.name}+{key_id.hex()}+{b64encode(material).decode()}"

    def line(self, text: str) -> str:
        message = text.encode()
        if isinstance(self.key, Ed25519PrivateKey):
            signature = self.key.sign(message)
        else:
            signature = self.key.sign(message, ECDSA(SHA256()))
        return f"— {self.name} {b64encode(self._id_and_material[0] + signature).decode()}\n"


KEY = Signer.ed25519(1)
NEXT_KEY = Signer.ed25519(2)
P256_KEY = Signer.p256(3)
OTHER_KEY = Signer.ed25519(4)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf_hash(octets: bytes) -> bytes:
    return sha256(b"\x00" + octets).digest()


def root_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root_hash(leaves[:split]) + root_hash(leaves[split:])).digest()


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1, over leaf hashes."""
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*inclusion_path(leaves[:split], index), root_hash(leaves[split:])]
    return [*inclusion_path(leaves[split:], index - split), root_hash(leaves[:split])]


def checkpoint_text(size: int, root: bytes, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


def signed(text: str, *signers: Signer) -> str:
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def opened(signer: Signer = KEY, **changes: object) -> Data:
    return {
        "format": 1,
        "origin": ORIGIN,
        "log_number": 1,
        "nonce": b64encode(bytes(range(32))).decode(),
        "ledger_key": signer.vkey,
        "bundle_key": BUNDLE_KEY,
        "probe_key": PROBE_KEY,
        "max_ttl_s": 86_400,
        "software": "chancery 0.1.0",
        **changes,
    }


@dataclass
class Logbook:
    """A log as a list of entry bytes, the leaf hashes stored beside them, and its checkpoints."""

    signer: Signer = KEY
    entries: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    checkpoints: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def open(cls, signer: Signer = KEY) -> Logbook:
        log = cls(signer)
        log.add("log.opened", opened(signer))
        return log

    @classmethod
    def of(cls, size: int, *, covered: Sequence[int]) -> Logbook:
        """A log of ``size`` entries with checkpoints at the sizes ``covered``."""
        log = cls.open()
        while len(log.entries) < size:
            if len(log.entries) in covered:
                log.sign()
            log.add("certificate.issued", {"intent": len(log.entries) - 1, "signature": "c2lnbmF0dXJl"})
        if size in covered:
            log.sign()
        return log

    def add(self, kind: str, data: object, /, **changes: object) -> bytes:
        seq = len(self.entries)
        prev = self.leaves[-1].hex() if self.leaves else "0" * 64
        entry = {"data": data, "kind": kind, "prev": prev, "seq": seq, "time_ms": START_MS + 10 * seq, "v": 1}
        return self.add_bytes(canonical({**entry, **changes}))

    def add_bytes(self, octets: bytes) -> bytes:
        self.entries.append(octets)
        self.leaves.append(leaf_hash(octets))
        return octets

    def drop(self) -> None:
        """Take the last entry away, and leave the checkpoints as they are."""
        self.entries.pop()
        self.leaves.pop()

    def root(self, size: int | None = None) -> bytes:
        return root_hash(self.leaves[:size])

    def note(self, size: int | None = None, *signers: Signer) -> str:
        size = len(self.entries) if size is None else size
        return signed(checkpoint_text(size, self.root(size)), *(signers or (self.signer,)))

    def sign(self, *signers: Signer) -> str:
        note = self.note(None, *signers)
        self.checkpoints.append((len(self.entries), note))
        return note

    def proof(self, index: int, size: int | None = None) -> str:
        path = inclusion_path(self.leaves[:size], index)
        lines = [
            "c2sp.org/tlog-proof@v1",
            f"extra {b64encode(self.entries[index]).decode()}",
            f"index {index}",
            *(b64encode(sibling).decode() for sibling in path),
        ]
        return "\n".join(lines) + "\n\n" + self.note(size)

    def source(self) -> MemorySource:
        return MemorySource(self)

    def write_sqlite(self, path: Path, *, extra_sql: str = "") -> Path:
        connection = sqlite3.connect(path)
        connection.executescript(
            "CREATE TABLE entry(seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, bytes BLOB NOT NULL);"
            "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, note TEXT NOT NULL, time_ms INTEGER NOT NULL);"
        )
        rows = zip(range(len(self.entries)), self.leaves, self.entries, strict=False)
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?)", rows)
        notes = ((size, note, START_MS) for size, note in self.checkpoints)
        connection.executemany("INSERT INTO checkpoint VALUES (?, ?, ?)", notes)
        connection.executescript(extra_sql)
        connection.commit()
        connection.close()
        return path

    def write_tiles(self, directory: Path) -> Path:
        """Export all entries, and the last checkpoint with its tree, in the layout of tlog-tiles."""
        directory.mkdir(parents=True, exist_ok=True)
        if self.checkpoints:
            (directory / "checkpoint").write_bytes(self.checkpoints[-1][1].encode())
        bundles = [len(entry).to_bytes(2, "big") + entry for entry in self.entries]
        _write_level(directory / "tile" / "entries", bundles)
        level, hashes = 0, self.leaves[: self.checkpoints[-1][0] if self.checkpoints else None]
        while hashes:
            _write_level(directory / "tile" / str(level), hashes)
            full = len(hashes) // 256
            hashes = [root_hash(hashes[at * 256 : at * 256 + 256]) for at in range(full)]
            level += 1
        return directory


def _write_level(directory: Path, items: Sequence[bytes]) -> None:
    for start in range(0, len(items), 256):
        part = items[start : start + 256]
        # Three digits are enough: the tests' logs have fewer than 256 000 entries.
        name = f"{start // 256:03}" + ("" if len(part) == 256 else f".p/{len(part)}")
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(part))


@dataclass
class MemorySource:
    """A source without a container."""

    log: Logbook
    keeps_checkpoints: bool = True

    def findings(self) -> Iterator[Finding]:
        return iter(())

    def length(self) -> int:
        return len(self.log.entries)

    def entries(self, start: int) -> Iterator[StoredEntry]:
        for seq in range(start, len(self.log.entries)):
            yield StoredEntry(seq, self.log.leaves[seq], self.log.entries[seq])

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        for size, note in self.log.checkpoints:
            if size >= start:
                yield StoredCheckpoint(size, note.encode("utf-8", errors="surrogateescape"))


_CA: Data = {"name": "acme-users", "type": "user", "public_key": BUNDLE_KEY, "transcript": "made\nby hand\n"}
_INTENT: Data = {
    "ca": "acme-users",
    "ca_key": FINGERPRINT,
    "identity": ALICE,
    "request": {"logins": ["postgres"], "ttl_s": 3600},
    "policy": 2,
    "evaluator": 1,
    "tbs": "dGJz",
}
_NODE: Data = {"node": "ca-1", "software": "chancery 0.1.0", "size": 0, "root": sha256().hexdigest()}
_UNFULFILLED: Data = {"intent": 3, "reason": "the token did not answer", "requested": True}
_ASKED: Data = {"identity": ALICE, "grant": "dba", "reason": "x", "answer_by_s": 1_764_003_600, "ttl_s": 60}
_ANSWER: Data = {"approval": 17, "person": "bob", "expires_s": 1_764_007_200, "signature": "c2ln"}

# One example or more of each kind, with all its optional members at least once.
EXAMPLES: list[tuple[str, Data]] = [
    ("log.opened", opened(previous=[{"checkpoint": "…\n", "status": "closed"}])),
    ("log.key_changed", {"ledger_key": NEXT_KEY.vkey, **ORDER}),
    ("log.key_changed", {"ledger_key": P256_KEY.vkey, **ORDER}),
    ("log.closed", {"reason": "retention", **ORDER}),
    ("node.started", _NODE),
    ("node.stopped", _NODE),
    ("heartbeat", _NODE),
    (
        "certificate.intent",
        {
            **_INTENT,
            "grants": [{"file": "acme.toml", "name": "dba"}],
            "on_behalf_of": ALICE,
            "window": {"opens_s": 1_764_000_000, "closes_s": 1_764_036_000},
            "tzdata": "2025b",
            "idempotency": {"key": "0" * 64, "request": "f" * 64},
            "approvals": [11, 12],
        },
    ),
    ("certificate.intent", {**_INTENT, "host": 5, "window": {"closes_s": 1_764_036_000}}),
    ("certificate.issued", {"intent": 3, "signature": "c2lnbmF0dXJl"}),
    ("certificate.failed", _UNFULFILLED),
    ("certificate.abandoned", _UNFULFILLED),
    (
        "certificate.denied",
        {
            "identity": ALICE,
            "request": {},
            "rule": "no grant",
            "first_ms": START_MS,
            "last_ms": START_MS + 1,
            "count": 2,
        },
    ),
    (
        "certificate.denied",
        {
            "identity": ALICE,
            "on_behalf_of": ALICE,
            "request": {"logins": ["root"]},
            "rule": "no grant",
            "first_ms": START_MS,
            "last_ms": START_MS,
            "count": 1,
            "shortened": {"identity": "0" * 64, "on_behalf_of": "a" * 64, "request": "f" * 64},
        },
    ),
    ("certificate.revoked", {"serial": "281474976710673", "reason": "lost", "by": ALICE}),
    ("certificate.revoked", {"key": FINGERPRINT, "reason": "lost", "by": 17}),
    (
        "certificate.revoked",
        {"ca_key": FINGERPRINT, "range": {"first": "1", "last": "9"}, "reason": "hold", "by": 17},
    ),
    (
        "lock.placed",
        {
            "kind": "person",
            "name": "ada",
            "reason": "left",
            "by": ALICE,
            "accounts": ["ldap:ada", "oidc:ada"],
        },
    ),
    ("lock.lifted", {"lock": 17, "reason": "back", **ORDER}),
    (
        "policy.file",
        {"name": "acme.toml", "part": 1, "parts": 2, "text": "version = 1\n", "customer": "acme"},
    ),
    (
        "policy.applied",
        {
            "files": [{"name": "acme.toml", "sha256": "a" * 64, "seqs": [1, 2]}],
            "evaluator": 1,
            "holidays": [{"calendar": "DE", "dates": ["2026-01-01"]}],
            **ORDER,
        },
    ),
    ("ca.created", {**_CA, **ORDER, "customer": "acme", "attestation": "YXR0ZXN0"}),
    ("ca.trusted", {**_CA, **ORDER}),
    ("ca.signing", {**_CA, **ORDER}),
    ("ca.retired", {**_CA, **ORDER}),
    ("ca.halted", {"name": "acme-users", "ca_key": FINGERPRINT, "intent": 3, "reason": "bad signature"}),
    (
        "host.registered",
        {
            "name": "db-7",
            "customer": "acme",
            "names": ["db-7", "db-7.acme.example"],
            "labels": [{"name": "region", "value": "eu-west"}, {"name": "role", "value": "db"}],
            **ORDER,
        },
    ),
    ("host.removed", {"name": "db-7", "reason": "scrapped", **ORDER}),
    (
        "credential.created",
        {
            "id": "00ff",
            "subject": "portal",
            "kind": "service",
            "secret_sha256": "b" * 64,
            "expires_s": 1_795_000_000,
            "uses": 1,
            **ORDER,
        },
    ),
    ("credential.used", {"id": "00ff"}),
    ("credential.revoked", {"id": "00ff", "reason": "leaked", "by": ALICE}),
    (
        "leave.booked",
        {
            "person": "alice",
            "identities": ["ldap:alice", "oidc:alice"],
            "starts_s": 1_764_000_000,
            "ends_s": 1_764_086_400,
            "by": ALICE,
            "timezone": "Europe/Berlin",
            "reason": "vacation",
            "source": {"feed": "holidays", "uid": "17"},
        },
    ),
    ("leave.withdrawn", {"leave": 17, "by": ALICE}),
    ("leave.cancelled", {"leave": 17, "ends_s": 1_764_080_000, **ORDER}),
    ("approval.requested", _ASKED),
    ("approval.given", _ANSWER),
    ("approval.refused", {**_ANSWER, "reason": "not now"}),
]
