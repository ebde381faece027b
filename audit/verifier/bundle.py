"""The verification of a bundle: one entry, its inclusion proof and a checkpoint (c2sp.org/tlog-proof)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .entry import Entry, parse_entry
from .errors import MalformedError, UsageError
from .merkle import leaf_hash, root_of_inclusion
from .note import parse_vkey
from .proof import HEADER, Proof, parse_proof
from .report import Code, Findings, Report
from .schemas import complaint_about


def verify_bundle(
    text: str, pinned_key: str | None, *, on_entry: Callable[[Entry], None] | None = None
) -> Report:
    """Verify that one entry is in a log whose ledger key is pinned.

    1. The entry in ``extra`` is canonical, at its index, and its data fits its schema.
    2. The proof leads from its leaf hash to the root of the checkpoint.
    3. The pinned key signed the checkpoint.

    ``on_entry`` gets the entry if all three hold. It does not establish what the entry's data mean, nor that
    the log the entry is in was whole.

    Raises:
        UsageError: the text is no tlog-proof at all, or the pinned key is malformed.
    """
    if not text.startswith(HEADER + "\n"):
        raise UsageError(f"this is no proof: expected its first line to be {HEADER}")
    findings = Findings()
    try:
        proof = parse_proof(text)
    except MalformedError as error:
        findings.add(Code.BAD_PROOF, str(error))
        return _report(findings, None, None, pinned_key)
    for code, message in _signature_complaints(proof, pinned_key):
        findings.add(code, message)
    entry = _parse_extra(proof, findings)
    for code, message in _complaints(proof, entry):
        findings.add(code, message, seq=proof.index)
    if entry is not None and on_entry is not None and not findings.counts:
        on_entry(entry)
    return _report(findings, proof, entry, pinned_key)


def _signature_complaints(proof: Proof, pinned_key: str | None) -> Iterator[tuple[Code, str]]:
    if pinned_key is None:
        yield Code.NO_PINNED_KEY, "no ledger key was given, so the checkpoint's signature was not checked"
        return
    try:
        key = parse_vkey(pinned_key)
    except MalformedError as error:
        raise UsageError(f"the pinned key cannot be used: {error}") from error
    if proof.checkpoint.origin != key.name:
        yield Code.WRONG_ORIGIN, f"the checkpoint is of {proof.checkpoint.origin}, expected {key.name}"
    try:
        if not proof.checkpoint.note.signers([key]):
            yield Code.PROOF_UNSIGNED, "the pinned key did not sign the checkpoint; another key may have"
    except MalformedError as error:
        yield Code.BAD_SIGNATURE, str(error)


def _parse_extra(proof: Proof, findings: Findings) -> Entry | None:
    if proof.extra is None:
        findings.add(Code.PROOF_WITHOUT_ENTRY, "the proof has no extra line, which would hold the entry")
        return None
    try:
        return parse_entry(proof.extra)
    except MalformedError as error:
        findings.add(Code.BAD_ENTRY, str(error), seq=proof.index)
        return None


def _complaints(proof: Proof, entry: Entry | None) -> Iterator[tuple[Code, str]]:
    if entry is None:
        return
    if entry.seq != proof.index:
        yield Code.WRONG_SEQ, f"the entry says that its seq is {entry.seq}"
    complaint = complaint_about(entry)
    if complaint is not None:
        yield complaint
    checkpoint = proof.checkpoint
    try:
        root = root_of_inclusion(
            leaf_hash(entry.raw), index=proof.index, size=checkpoint.size, path=proof.path
        )
    except MalformedError as error:
        yield Code.BAD_PROOF, str(error)
        return
    if root != checkpoint.root:
        yield (
            Code.WRONG_ROOT,
            f"the proof leads to root {root.hex()}, the checkpoint has {checkpoint.root.hex()}",
        )


def _report(findings: Findings, proof: Proof | None, entry: Entry | None, key: str | None) -> Report:
    checkpoint = proof.checkpoint if proof else None
    return Report(
        verdict=findings.verdict,
        findings=tuple(findings),
        counts=tuple(sorted(findings.counts.items())),
        origin=checkpoint.origin if checkpoint else None,
        size=checkpoint.size if checkpoint else 0,
        root=checkpoint.root.hex() if checkpoint else None,
        checkpoint_size=checkpoint.size if checkpoint else 0,
        kinds=((entry.kind, 1),) if entry else (),
        ledger_key=key,
    )
