"""Proofs as files: written here, verified here and by the verifier, and by nobody after a change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.entry import Entry, LeafHash, encode_entry
from audit.errors import LedgerError, ProofError
from audit.merkle import inclusion_proof, root_of_leaves
from audit.note import format_vkey, vkey_for
from audit.proof import TlogProof, format_proof, parse_proof, verify_proof
from audit.verifier import Verdict, verify_bundle

ORIGIN = "ca.example.org/log/1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = vkey_for(ORIGIN, KEY.public_key())


def build_log(size: int) -> list[Entry]:
    entries: list[Entry] = []
    prev = LeafHash(bytes(32))
    for seq in range(size):
        data = {"node": "a", "software": "chancery", "size": seq, "root": "0" * 64}
        entries.append(encode_entry(kind="heartbeat", v=1, data=data, prev=prev, seq=seq, time_ms=seq))
        prev = entries[-1].leaf_hash
    return entries


def build_proof(index: int, size: int) -> TlogProof:
    entries = build_log(size)
    leaves = [entry.leaf_hash for entry in entries]

    def read_hash(level: int, number: int) -> bytes:
        return root_of_leaves(leaves[number << level : (number + 1) << level])

    note = sign_checkpoint(Checkpoint(ORIGIN, size, root_of_leaves(leaves)), KEY)
    hashes = inclusion_proof(index, size, read_hash)
    return TlogProof(extra=entries[index].raw, index=index, hashes=hashes, checkpoint=note)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (3, 7), (6, 7), (17, 33)])
def test_proof_verifies_here_and_by_the_verifier_after_a_round_trip(index: int, size: int) -> None:
    proof = build_proof(index, size)
    text = format_proof(proof)
    assert parse_proof(text) == proof
    assert verify_proof(proof, VKEY).size == size
    assert verify_bundle(text, format_vkey(VKEY)).verdict is Verdict.VERIFIED


def test_proof_with_any_character_changed_is_refused() -> None:
    text = format_proof(build_proof(3, 7))
    for position, char in enumerate(text):
        changed = text[:position] + ("A" if char != "A" else "B") + text[position + 1 :]
        with pytest.raises(LedgerError):
            verify_proof(parse_proof(changed), VKEY)


def test_proof_of_another_entry_or_place_fails() -> None:
    proof, other = build_proof(3, 7), build_proof(4, 7)
    with pytest.raises(ProofError):
        verify_proof(replace(proof, extra=other.extra), VKEY)
    with pytest.raises(ProofError):
        verify_proof(replace(proof, index=4), VKEY)


@pytest.mark.parametrize("text", ["", "\n\n", "c2sp.org/tlog-proof@v1\nindex 0\n\nx", "x" * 300_000])
def test_text_that_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_proof(text)
