"""Whatever is done to a log, it is never taken for sound; what a checkpoint covers is found to be tampered.

The one place where a change can go unproved is the tail behind the last checkpoint, if everything from the
change to the end is rewritten to fit: the verdict is then inconclusive, as it was before the change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audit.verifier import Code, Report, Verdict, verify_bundle, verify_log
from unit.verifier.logbook import (
    EXAMPLES,
    KEY,
    NEXT_KEY,
    ORDER,
    OTHER_KEY,
    Logbook,
    canonical,
    leaf_hash,
    opened,
)

KINDS = [(kind, data) for kind, data in EXAMPLES if not kind.startswith(("log.", "node.", "heartbeat"))]
CHANGES = settings(max_examples=60, deadline=None)


def verify(log: Logbook, earlier: str | None = None) -> Report:
    return verify_log(log.source(), pinned_key=KEY.vkey, earlier=earlier)


@st.composite
def logs(draw: st.DrawFn, *, least: int = 2, tail: bool | None = None) -> Logbook:
    """A sound log of a few entries with checkpoints here and there, perhaps a key change, perhaps a tail."""
    log = Logbook.open()
    signers = [KEY]
    for kind, data in draw(st.lists(st.sampled_from(KINDS), min_size=least - 1, max_size=9)):
        if draw(st.booleans()):
            log.sign(*signers)
            signers = signers[-1:]
        if signers == [KEY] and draw(st.integers(0, 4)) == 0:
            log.add("log.key_changed", {"ledger_key": NEXT_KEY.vkey, **ORDER})
            signers.append(NEXT_KEY)
        log.add(kind, data)
    if tail is not True:
        log.sign(*signers)
        signers = signers[-1:]
    if tail is not False and draw(st.booleans() if tail is None else st.just(value=True)):
        for kind, data in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)):
            log.add(kind, data)
    assume(log.checkpoints)
    return log


def covered(log: Logbook) -> int:
    return log.checkpoints[-1][0]


def flip(octets: bytes, at: int, mask: int) -> bytes:
    at %= len(octets)
    return octets[:at] + bytes([octets[at] ^ mask]) + octets[at + 1 :]


@CHANGES
@given(log=logs())
def test_sound_log_is_verified_up_to_its_tail(log: Logbook) -> None:
    tail = len(log.entries) > covered(log)
    assert verify(log).verdict is (Verdict.INCONCLUSIVE if tail else Verdict.VERIFIED)
    assert verify(log).counts == (((Code.UNSIGNED_TAIL, 1),) if tail else ())


@CHANGES
@given(log=logs(), index=st.integers(0), at=st.integers(0), mask=st.integers(1, 255))
def test_any_flipped_byte_under_the_old_leaf_hash_is_tampering(
    log: Logbook, index: int, at: int, mask: int
) -> None:
    index %= len(log.entries)
    log.entries[index] = flip(log.entries[index], at, mask)
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), index=st.integers(0), at=st.integers(0), mask=st.integers(1, 255))
def test_any_flipped_byte_with_its_leaf_hash_made_to_fit_is_tampering_but_in_the_last_unsigned_entry(
    log: Logbook, index: int, at: int, mask: int
) -> None:
    index %= len(log.entries)
    log.entries[index] = flip(log.entries[index], at, mask)
    log.leaves[index] = leaf_hash(log.entries[index])
    verdict = verify(log).verdict
    if index < covered(log) or index < len(log.entries) - 1:
        assert verdict is Verdict.TAMPERED
    else:
        assert verdict is not Verdict.VERIFIED


@CHANGES
@given(log=logs(), index=st.integers(0), kind=st.sampled_from(KINDS))
def test_rewriting_to_the_end_is_tampering_unless_it_begins_in_the_unsigned_tail(
    log: Logbook, index: int, kind: tuple[str, dict[str, object]]
) -> None:
    """The strongest attack without the ledger key: every hash after the change is made to fit."""
    index = 1 + index % (len(log.entries) - 1)
    forged = Logbook(entries=log.entries[:index], leaves=log.leaves[:index], checkpoints=log.checkpoints)
    for seq, entry in enumerate(map(json.loads, log.entries[index:])):
        forged.add(*(kind if seq == 0 else (entry["kind"], entry["data"])))
    assume(forged.entries != log.entries)
    verdict = verify(forged).verdict
    assert verdict is (Verdict.TAMPERED if index < covered(log) else Verdict.INCONCLUSIVE)


@CHANGES
@given(log=logs(), first=st.integers(0), second=st.integers(0))
def test_entries_swapped_are_tampering(log: Logbook, first: int, second: int) -> None:
    first, second = first % len(log.entries), second % len(log.entries)
    assume(first != second)
    for items in (log.entries, log.leaves):
        items[first], items[second] = items[second], items[first]
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), order=st.randoms(use_true_random=False))
def test_entries_reordered_are_tampering(log: Logbook, order: Random) -> None:
    rows = list(zip(log.entries, log.leaves, strict=True))
    order.shuffle(rows)
    assume([entry for entry, _ in rows] != log.entries)
    log.entries, log.leaves = [entry for entry, _ in rows], [leaf for _, leaf in rows]
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), index=st.integers(0), again=st.booleans())
def test_entry_deleted_or_repeated_is_tampering_but_at_the_end_of_the_tail(
    log: Logbook, index: int, again: bool
) -> None:
    index %= len(log.entries)
    last = index == len(log.entries) - 1 >= covered(log)
    before = verify(log)
    for items in (log.entries, log.leaves):
        items[index : index + 1] = items[index : index + 1] * (2 if again else 0)
    report = verify(log)
    if last and not again:
        assert report.verdict is (Verdict.VERIFIED if before.unsigned_tail == 1 else Verdict.INCONCLUSIVE)
    else:
        assert report.verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), size=st.integers(0))
def test_log_cut_below_its_last_checkpoint_is_tampering(log: Logbook, size: int) -> None:
    size %= covered(log)
    del log.entries[size:], log.leaves[size:]
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), size=st.integers(0))
def test_log_cut_together_with_its_checkpoints_is_found_by_an_earlier_checkpoint_alone(
    log: Logbook, size: int
) -> None:
    size = 1 + size % (len(log.entries) - 1)
    earlier = log.note(len(log.entries))
    cut = replace(
        log,
        entries=log.entries[:size],
        leaves=log.leaves[:size],
        checkpoints=[(at, note) for at, note in log.checkpoints if at <= size],
    )
    assert verify(cut).verdict is not Verdict.TAMPERED
    assert verify(cut, earlier).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), index=st.integers(0), at=st.integers(0), mask=st.integers(1, 255))
def test_any_flipped_byte_of_a_checkpoint_is_tampering(log: Logbook, index: int, at: int, mask: int) -> None:
    index %= len(log.checkpoints)
    size, note = log.checkpoints[index]
    log.checkpoints[index] = (size, flip(note.encode(), at, mask).decode(errors="surrogateescape"))
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(), index=st.integers(0), other=st.integers(0))
def test_checkpoint_replaced_is_tampering(log: Logbook, index: int, other: int) -> None:
    index %= len(log.checkpoints)
    size, _ = log.checkpoints[index]
    foreign = Logbook.open(OTHER_KEY)
    while len(foreign.entries) < size:
        foreign.add("credential.used", {"id": "ff"})
    notes: list[str] = [log.note(size, OTHER_KEY), foreign.note(size, KEY, NEXT_KEY), foreign.note(size)]
    notes += [note for at, note in log.checkpoints if at != size]
    log.checkpoints[index] = (size, notes[other % len(notes)])
    assert verify(log).verdict is Verdict.TAMPERED


@CHANGES
@given(log=logs(tail=False))
def test_last_checkpoint_taken_away_leaves_no_sound_log(log: Logbook) -> None:
    log.checkpoints.pop()
    assert verify(log).verdict is not Verdict.VERIFIED


@CHANGES
@given(log=logs(), index=st.integers(0))
def test_log_taken_up_anywhere_ends_as_the_one_read_whole(log: Logbook, index: int) -> None:
    size = 1 + index % len(log.entries)
    begun = replace(
        log,
        entries=log.entries[:size],
        leaves=log.leaves[:size],
        checkpoints=[(at, note) for at, note in log.checkpoints if at <= size],
    )
    resumed = verify_log(log.source(), pinned_key=KEY.vkey, resume=verify(begun).resume)
    whole = verify(log)
    assert (resumed.verdict, resumed.resume, resumed.root) == (whole.verdict, whole.resume, whole.root)


@CHANGES
@given(log=logs(), index=st.integers(0), at=st.integers(0), mask=st.integers(1, 255))
def test_any_flipped_byte_of_a_proof_is_never_verified(log: Logbook, index: int, at: int, mask: int) -> None:
    sound = log.proof(index % len(log.entries))
    assert verify_bundle(sound, KEY.vkey).verdict is Verdict.VERIFIED
    header = sound.index("\n") + 1
    body = flip(sound[header:].encode(), at, mask).decode(errors="surrogateescape")
    assert verify_bundle(sound[:header] + body, KEY.vkey).verdict is not Verdict.VERIFIED


@CHANGES
@given(
    change=st.sampled_from(
        [
            lambda entry: entry.update(v=entry["v"] + 1),
            lambda entry: entry.update(zz=1),
            lambda entry: entry["data"].update(zz=1),
            lambda entry: entry["data"].pop("software"),
            lambda entry: entry["data"].update(origin="ca.example.org/log/2"),
            lambda entry: entry["data"].update(opened(OTHER_KEY)),
        ]
    ),
    log=logs(),
)
def test_entry_0_forged_is_tampering(change: Callable[[dict[str, object]], None], log: Logbook) -> None:
    entry = json.loads(log.entries[0])
    forged = deepcopy(entry)
    change(forged)
    log.entries[0] = canonical(forged)
    log.leaves[0] = leaf_hash(log.entries[0])
    assert verify(log).verdict is Verdict.TAMPERED
