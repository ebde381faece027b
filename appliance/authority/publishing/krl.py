"""What a CA's KRL says, and the statement that is signed over it. Pure.

sshd reads one file of revoked keys, so the KRL of a CA covers all CAs of its customer that sign for the same
kind of holder, and each of their keys. It looks at neither version nor age: for that there is the statement
(docs/formats/krl.md), renewed at half of its life even when nothing has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from appliance.authority.fold.records import Ca
from appliance.authority.fold.state import State
from appliance.authority.publishing.bundle import FRESH_S
from appliance.errors import ChanceryError, Refusal
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import PublicKey, parse_fingerprint
from appliance.ssh.krl import Krl, RevokedCertificates, encode_krl
from appliance.ssh.serials import Range, merge_ranges, range_serials
from appliance.ssh.sshsig import parse_armored_sshsig, verify_sshsig

NAMESPACE: Final = "krl@chancery"
_TITLE: Final = "chancery/krl/v1"


class BadKrl(ChanceryError):
    """A KRL that is not the one which its statement is about, or a statement that is not to be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaSerials:
    """What is revoked of one CA key: certificates of this log by the seqs of their intents, and ranges."""

    ca_key: PublicKey
    seqs: frozenset[int]
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KrlView:
    """What a CA's KRL is made of, at one moment of the ledger; ``ca_key`` is a fingerprint.

    ``changes`` tells this content from an earlier one.
    """

    ca: str
    ca_key: str
    origin: str
    log_number: int
    size: int
    now_s: int
    changes: int
    certificates: tuple[CaSerials, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKrl:
    """A KRL, its statement, and an armored SSHSIG over that; None while the token does not sign."""

    krl: bytes
    sha256: str
    ca_key: str
    changes: int
    size: int
    version: int
    generated_s: int
    statement: str
    signature: str | None = None

    def says(self, ca_key: str, changes: int, now_s: int) -> bool:
        """Say whether it need not be made again: nothing has changed, and half of its time is not over."""
        same = (self.ca_key, self.changes) == (ca_key, changes)
        return same and 0 <= now_s - self.generated_s < FRESH_S // 2


def find_ca(state: State, name: str) -> tuple[Ca, str]:
    """Return a CA and the fingerprint that its KRL's statement names: of a key that hosts trust, if one is.

    It is the one that signs, else the newest.

    Raises:
        Refusal: ``not-found``.
    """
    ca = state.cas.get(name)
    if ca is None:
        raise Refusal("not-found", f"there is no CA {name}")
    keys = ca.trusted_keys or ca.keys
    return ca, next((key for key in keys if key.phase == "signing"), keys[-1]).fingerprint


def view_krl(state: State, name: str, now_s: int) -> KrlView:
    """Take from the state what a CA's KRL is made of: copies, since the state goes on.

    Raises:
        Refusal: ``not-found``.
    """
    ca, ca_key = find_ca(state, name)
    locked = {lock.target.name for lock in state.locks.of_kind("key")}
    return KrlView(
        ca=name,
        ca_key=ca_key,
        origin=state.origin,
        log_number=state.log_number,
        size=state.size,
        now_s=now_s,
        changes=state.revoked.changes,
        certificates=tuple(_take_serials(state, ca)),
        keys=frozenset(locked | state.revoked.keys.keys()),
    )


def make_krl(view: KrlView) -> MadeKrl:
    """Encode a KRL and word its statement, which is yet to be signed."""
    version = view.log_number << 48 | view.size
    krl = encode_krl(
        Krl(
            version=version,
            generated_s=view.now_s,
            certificates=tuple(
                RevokedCertificates(ca_key=each.ca_key, ranges=_merge(view.log_number, each))
                for each in sorted(view.certificates, key=lambda each: each.ca_key.blob)
            ),
            key_digests=tuple(sorted(map(parse_fingerprint, view.keys))),
        )
    )
    sha256 = hashlib.sha256(krl).hexdigest()
    lines = (_TITLE, view.origin, view.ca_key, version, sha256, view.now_s, view.now_s + FRESH_S)
    return MadeKrl(
        krl=krl,
        sha256=sha256,
        ca_key=view.ca_key,
        changes=view.changes,
        size=view.size,
        version=version,
        generated_s=view.now_s,
        statement="".join(f"{line}\n" for line in lines),
    )


def check_krl(
    krl: bytes, statement: str, signature: str, *, origin: str, bundle_key: PublicKey, now_s: int
) -> str:
    """Check a KRL as a host does that has pinned origin and key; return the CA fingerprint it is for.

    Raises:
        BadKrl: it is another, it is stale, or the bundle key did not sign the statement.
    """
    try:
        blob = parse_armored_sshsig(signature)
        verify_sshsig(blob, namespace=NAMESPACE, message=statement.encode(), allowed_keys=[bundle_key])
    except SshFormatError as error:
        raise BadKrl(f"the statement is not signed by the bundle key: {error}") from error
    title, stated_origin, ca_key, _version, sha256, _generated_s, fresh_until_s = statement.splitlines()
    if (title, stated_origin) != (_TITLE, origin):
        raise BadKrl(f"the statement is of {stated_origin}, expected {origin}")
    if hashlib.sha256(krl).hexdigest() != sha256:
        raise BadKrl("the KRL is not the one that the statement is about: fetch both again")
    if int(fresh_until_s) <= now_s:
        raise BadKrl("the statement is stale: whoever gave it withholds the newest")
    return ca_key


def _take_serials(state: State, ca: Ca) -> Iterator[CaSerials]:
    for each in state.cas.values():
        if (each.type, each.customer) != (ca.type, ca.customer):
            continue
        for key in each.keys:
            seqs = frozenset(state.revoked.seqs.get(key.fingerprint, ()))
            ranges = tuple(state.revoked.ranges.get(key.fingerprint, ()))
            if seqs or ranges:
                yield CaSerials(ca_key=key.public_key, seqs=seqs, ranges=ranges)


def _merge(log_number: int, revoked: CaSerials) -> tuple[Range, ...]:
    base = log_number << 48
    serials = range_serials(base | seq for seq in revoked.seqs)
    return merge_ranges(chain(serials, revoked.ranges)) if revoked.ranges else serials
