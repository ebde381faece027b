"""The pass over a whole log: each flaw gives its finding, and what is missing is never taken for sound."""

from __future__ import annotations

import json

import pytest

from audit.verifier import Code, Entry, Report, ResumeState, UsageError, Verdict, verify_log
from audit.verifier.chain import REMEMBERED_SIZES
from audit.verifier.report import KEPT_PER_CODE
from unit.verifier.logbook import (
    KEY,
    NEXT_KEY,
    ORDER,
    ORIGIN,
    OTHER_KEY,
    P256_KEY,
    START_MS,
    Logbook,
    Signer,
    canonical,
    checkpoint_text,
    leaf_hash,
    opened,
    signed,
)


def verify(log: Logbook, pinned: str | None = KEY.vkey, **arguments: str | ResumeState | None) -> Report:
    earlier, resume = arguments.get("earlier"), arguments.get("resume")
    assert earlier is None or isinstance(earlier, str)
    assert resume is None or isinstance(resume, ResumeState)
    return verify_log(log.source(), pinned_key=pinned, earlier=earlier, resume=resume)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def node(log: Logbook, size: int, root: bytes | None = None) -> None:
    root = log.root(size) if root is None else root
    log.add("heartbeat", {"node": "ca-1", "software": "x", "size": size, "root": root.hex()})


def key_change(log: Logbook, signer: Signer) -> None:
    log.add("log.key_changed", {"ledger_key": signer.vkey, **ORDER})


@pytest.mark.parametrize("signer", [KEY, P256_KEY], ids=["ed25519", "p256"])
def test_sound_log_is_verified(signer: Signer) -> None:
    log = Logbook.open(signer)
    log.sign()
    node(log, 1)
    log.sign()
    report = verify(log, signer.vkey)
    assert (report.verdict, report.findings) == (Verdict.VERIFIED, ())
    assert (report.origin, report.size, report.root) == (ORIGIN, 2, log.root().hex())
    assert (report.checkpoint_size, report.unsigned_tail, report.ledger_key) == (2, 0, signer.vkey)
    assert report.kinds == (("heartbeat", 1), ("log.opened", 1))


def test_empty_log_is_inconclusive() -> None:
    assert codes(verify(Logbook())) == {Code.EMPTY_LOG}


def test_log_without_pinned_key_is_inconclusive() -> None:
    report = verify(Logbook.of(5, covered=[5]), None)
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.NO_PINNED_KEY})


def test_log_without_checkpoint_is_inconclusive() -> None:
    report = verify(Logbook.of(5, covered=[]))
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.NO_CHECKPOINT})


def test_log_with_an_unsigned_tail_is_inconclusive_and_says_where_it_begins() -> None:
    report = verify(Logbook.of(5, covered=[3]))
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.UNSIGNED_TAIL})
    assert (report.findings[0].seq, report.unsigned_tail) == (3, 2)


def test_unknown_kind_is_inconclusive_and_not_handed_on() -> None:
    log = Logbook.open()
    log.add("lunch.served", {"menu": ["soup"]})
    log.sign()
    seen: list[Entry] = []
    report = verify_log(log.source(), pinned_key=KEY.vkey, on_entry=seen.append)
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.UNKNOWN_KIND})
    assert [entry.seq for entry in seen] == [0]


def test_unknown_version_of_entry_0_is_inconclusive() -> None:
    log = Logbook()
    log.add("log.opened", {"format": 2}, v=2)
    log.sign()
    assert codes(verify(log)) == {Code.UNKNOWN_KIND}
    assert codes(verify(log, None)) == {Code.UNKNOWN_KIND, Code.NO_PINNED_KEY, Code.NO_CHECKPOINT}


def test_tampering_beats_what_is_inconclusive() -> None:
    log = Logbook.open()
    log.add("lunch.served", {})
    log.entries[0] = log.entries[0].replace(b"0.1.0", b"0.1.1")
    assert verify(log, None).verdict is Verdict.TAMPERED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 7}, Code.WRONG_SEQ),
        ({"prev": "0" * 64}, Code.BROKEN_CHAIN),
        ({"time_ms": START_MS - 1}, Code.TIME_BACKWARDS),
        ({"data": {"intent": 1}}, Code.BAD_DATA),
        ({"v": 1.5}, Code.BAD_ENTRY),
    ],
)
def test_signed_entry_with_one_flaw_is_tampering(changes: dict[str, object], code: Code) -> None:
    log = Logbook.of(3, covered=[])
    entry = json.loads(log.add("credential.used", {"id": "00"}))
    log.drop()
    log.add_bytes(canonical({**entry, **changes}))
    log.sign()
    report = verify(log)
    assert (report.verdict, codes(report)) == (Verdict.TAMPERED, {code})
    assert report.findings[0].seq == 3


def test_time_that_stands_still_is_sound() -> None:
    log = Logbook.open()
    log.add("credential.used", {"id": "00"}, time_ms=START_MS)
    log.sign()
    assert verify(log).verdict is Verdict.VERIFIED


def test_stored_leaf_that_is_not_of_the_bytes_is_tampering() -> None:
    log = Logbook.of(3, covered=[3])
    log.leaves[1] = bytes(32)
    assert codes(verify(log)) == {Code.ALTERED_LEAF}


def test_log_that_does_not_begin_by_opening_is_tampering() -> None:
    log = Logbook()
    log.add("credential.used", {"id": "00"})
    log.sign()
    assert codes(verify(log)) == {Code.NOT_OPENED}


def test_log_opened_again_is_tampering() -> None:
    log = Logbook.open()
    log.add("log.opened", opened())
    log.sign()
    assert codes(verify(log)) == {Code.OPENED_AGAIN}


def test_log_rewritten_under_another_key_is_tampering_if_a_key_is_pinned() -> None:
    log = Logbook.open(OTHER_KEY)
    log.sign()
    assert codes(verify(log)) == {Code.WRONG_LEDGER_KEY}
    assert codes(verify(log, None)) == {Code.NO_PINNED_KEY}


def test_ledger_key_named_otherwise_than_the_origin_is_tampering() -> None:
    stranger = Signer.ed25519(1, "other.example.org")
    log = Logbook.open(stranger)
    log.sign()
    assert codes(verify(log, stranger.vkey)) == {Code.WRONG_LEDGER_KEY}


def test_checkpoint_by_another_key_alone_is_tampering() -> None:
    log = Logbook.of(2, covered=[])
    log.sign(OTHER_KEY)
    assert codes(verify(log)) == {Code.MISSING_SIGNATURE, Code.NO_CHECKPOINT}


def test_checkpoint_with_a_witness_below_is_sound() -> None:
    log = Logbook.of(2, covered=[])
    log.sign(KEY, Signer.ed25519(9, "witness.example.org"))
    assert verify(log).verdict is Verdict.VERIFIED


def test_checkpoint_whose_signature_is_over_another_root_is_tampering() -> None:
    log = Logbook.of(2, covered=[])
    forged = checkpoint_text(2, log.root()) + "\n" + KEY.line(checkpoint_text(2, bytes(32)))
    log.checkpoints.append((2, forged))
    assert codes(verify(log)) == {Code.BAD_SIGNATURE, Code.NO_CHECKPOINT}


def test_signed_checkpoint_of_another_root_is_tampering() -> None:
    log = Logbook.of(2, covered=[])
    log.checkpoints.append((2, signed(checkpoint_text(2, bytes(32)), KEY)))
    assert codes(verify(log)) == {Code.WRONG_ROOT, Code.NO_CHECKPOINT}


def test_signed_checkpoint_of_another_origin_is_tampering() -> None:
    log = Logbook.of(2, covered=[])
    log.checkpoints.append((2, signed(checkpoint_text(2, log.root(), "ca.example.org/log/2"), KEY)))
    assert codes(verify(log)) == {Code.WRONG_ORIGIN, Code.NO_CHECKPOINT}


@pytest.mark.parametrize("note", ["", "no note", signed(checkpoint_text(1, bytes(32)), KEY)])
def test_checkpoint_that_is_not_the_one_its_row_says_is_tampering(note: str) -> None:
    log = Logbook.of(3, covered=[3])
    log.checkpoints.insert(0, (2, note))
    assert codes(verify(log)) == {Code.BAD_CHECKPOINT}


def test_checkpoint_beyond_the_end_is_tampering() -> None:
    log = Logbook.of(5, covered=[3, 5])
    log.drop()
    assert codes(verify(log)) == {Code.TRUNCATED, Code.UNSIGNED_TAIL}


def test_key_change_is_sound_when_both_keys_sign_once_and_the_new_one_afterwards() -> None:
    log = Logbook.open()
    log.sign()
    key_change(log, NEXT_KEY)
    node(log, 1)
    log.sign(KEY, NEXT_KEY)
    node(log, 3)
    log.sign(NEXT_KEY)
    report = verify(log)
    assert (report.verdict, report.ledger_key) == (Verdict.VERIFIED, NEXT_KEY.vkey)


@pytest.mark.parametrize("signers", [(KEY,), (NEXT_KEY,)], ids=["old", "new"])
def test_first_checkpoint_over_a_key_change_without_both_signatures_is_tampering(
    signers: tuple[Signer, ...],
) -> None:
    log = Logbook.open()
    key_change(log, NEXT_KEY)
    log.sign(*signers)
    assert Code.MISSING_SIGNATURE in codes(verify(log))


def test_first_checkpoint_over_a_key_change_taken_away_is_tampering() -> None:
    log = Logbook.open()
    log.sign()
    key_change(log, NEXT_KEY)
    log.sign(KEY, NEXT_KEY)
    node(log, 1)
    log.sign(NEXT_KEY)
    del log.checkpoints[1]
    assert Code.MISSING_SIGNATURE in codes(verify(log))


def test_two_key_changes_before_a_checkpoint_need_all_three_keys() -> None:
    log = Logbook.open()
    key_change(log, NEXT_KEY)
    key_change(log, P256_KEY)
    log.sign(KEY, NEXT_KEY, P256_KEY)
    assert verify(log).verdict is Verdict.VERIFIED
    log.checkpoints.clear()
    log.sign(KEY, P256_KEY)
    assert Code.MISSING_SIGNATURE in codes(verify(log))


def test_old_key_alone_after_a_key_change_is_tampering() -> None:
    log = Logbook.open()
    key_change(log, NEXT_KEY)
    log.sign(KEY, NEXT_KEY)
    node(log, 2)
    log.sign(KEY)
    assert Code.MISSING_SIGNATURE in codes(verify(log))


def test_key_change_to_a_key_of_another_name_is_tampering() -> None:
    log = Logbook.open()
    key_change(log, Signer.ed25519(2, "other.example.org"))
    assert Code.WRONG_LEDGER_KEY in codes(verify(log))


@pytest.mark.parametrize("size", range(4))
def test_stated_tree_of_any_size_before_the_entry_is_sound(size: int) -> None:
    log = Logbook.of(3, covered=[])
    node(log, size)
    log.sign()
    assert verify(log).verdict is Verdict.VERIFIED


def test_stated_root_that_is_not_the_trees_is_tampering() -> None:
    log = Logbook.of(3, covered=[])
    node(log, 2, root=log.root(1))
    log.sign()
    assert codes(verify(log)) == {Code.WRONG_TREE_CLAIM}


def test_stated_tree_larger_than_what_precedes_it_is_tampering() -> None:
    log = Logbook.of(3, covered=[])
    node(log, 4)
    log.sign()
    assert codes(verify(log)) == {Code.WRONG_TREE_CLAIM}


def test_stated_tree_too_far_back_is_inconclusive_unless_a_checkpoint_was_there() -> None:
    log = Logbook.of(REMEMBERED_SIZES + 10, covered=[3])
    node(log, 3)
    log.sign()
    assert verify(log).verdict is Verdict.VERIFIED
    node(log, 4)
    log.sign()
    assert codes(verify(log)) == {Code.UNCHECKED_TREE_CLAIM}


def test_log_that_extends_the_earlier_checkpoint_is_verified() -> None:
    log = Logbook.of(6, covered=[6])
    for size in range(1, 7):
        assert verify(log, earlier=log.note(size)).verdict is Verdict.VERIFIED


def test_log_shorter_than_the_earlier_checkpoint_is_tampering() -> None:
    whole = Logbook.of(6, covered=[4, 6])
    assert codes(verify(Logbook.of(4, covered=[4]), earlier=whole.note())) == {Code.TRUNCATED}


def test_log_with_another_root_at_the_earlier_checkpoint_is_tampering() -> None:
    other = Logbook.open()
    node(other, 0)
    report = verify(Logbook.of(4, covered=[4]), earlier=other.note())
    assert (codes(report), report.findings[0].seq) == ({Code.FORKED}, 1)


def test_log_of_another_origin_than_the_earlier_checkpoint_is_tampering() -> None:
    log = Logbook.of(2, covered=[2])
    stranger = Signer.ed25519(1, "ca.example.org/log/2")
    earlier = signed(checkpoint_text(2, log.root(), stranger.name), stranger)
    assert codes(verify(log, earlier=earlier)) == {Code.FORKED, Code.EARLIER_UNSIGNED}


@pytest.mark.parametrize("forge", [False, True], ids=["other key", "bad signature"])
def test_earlier_checkpoint_not_signed_by_the_log_is_inconclusive(forge: bool) -> None:
    log = Logbook.of(2, covered=[2])
    earlier = log.note(1, OTHER_KEY)
    if forge:
        earlier = checkpoint_text(1, log.root(1)) + "\n" + KEY.line("something else\n")
    assert codes(verify(log, earlier=earlier)) == {Code.EARLIER_UNSIGNED}


@pytest.mark.parametrize("pinned", ["", "x", KEY.vkey + "\n"])
def test_malformed_pinned_key_is_a_usage_error(pinned: str) -> None:
    with pytest.raises(UsageError, match="pinned key") as caught:
        verify(Logbook.open(), pinned)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("earlier", ["", "x\n", "\ud800"])
def test_malformed_earlier_checkpoint_is_a_usage_error(earlier: str) -> None:
    with pytest.raises(UsageError, match="earlier checkpoint"):
        verify(Logbook.open(), earlier=earlier)


def saved(log: Logbook) -> ResumeState:
    state = verify(log).resume
    assert state is not None
    return ResumeState.from_json(state.to_json())


def test_resumed_pass_reads_the_new_entries_only_and_ends_as_the_whole_one() -> None:
    log = Logbook.of(5, covered=[3])
    state = saved(log)
    key_change(log, NEXT_KEY)
    node(log, 6)
    log.sign(KEY, NEXT_KEY)
    seen: list[Entry] = []
    report = verify_log(log.source(), pinned_key=KEY.vkey, resume=state, on_entry=seen.append)
    whole = verify(log)
    assert (report.verdict, report.resumed_from) == (Verdict.VERIFIED, 5)
    assert [entry.seq for entry in seen] == [5, 6]
    assert (report.resume, report.root, report.size) == (whole.resume, whole.root, whole.size)


def test_resumed_pass_without_new_entries_is_verified() -> None:
    log = Logbook.of(5, covered=[5])
    assert verify(log, resume=saved(log)).verdict is Verdict.VERIFIED


def test_resumed_pass_checks_a_checkpoint_made_since_over_the_entries_read_before() -> None:
    log = Logbook.of(5, covered=[3])
    state = saved(log)
    log.sign()
    assert verify(log, resume=state).verdict is Verdict.VERIFIED
    log.checkpoints[-1] = (5, signed(checkpoint_text(5, bytes(32)), KEY))
    assert Code.WRONG_ROOT in codes(verify(log, resume=state))


def test_resumed_pass_over_a_shorter_log_is_tampering() -> None:
    state = saved(Logbook.of(5, covered=[3]))
    assert Code.TRUNCATED in codes(verify(Logbook.of(4, covered=[3]), resume=state))


def test_resumed_pass_over_another_tail_is_tampering() -> None:
    state = saved(Logbook.of(5, covered=[3]))
    other = Logbook.of(4, covered=[3])
    other.add("credential.used", {"id": "00"})
    assert Code.NOT_RESUMABLE in codes(verify(other, resume=state))


def test_resumed_pass_with_another_pinned_key_is_tampering() -> None:
    log = Logbook.of(5, covered=[5])
    assert codes(verify(log, OTHER_KEY.vkey, resume=saved(log))) == {Code.WRONG_LEDGER_KEY}


def test_resumed_pass_remembers_what_stayed_inconclusive() -> None:
    log = Logbook.open()
    log.add("lunch.served", {})
    log.sign()
    again = verify(log, resume=saved(log))
    assert (again.verdict, codes(again)) == (Verdict.INCONCLUSIVE, {Code.INCONCLUSIVE_BEFORE})
    assert codes(verify(log, resume=again.resume)) == {Code.INCONCLUSIVE_BEFORE}


def test_resumed_pass_cannot_compare_an_earlier_checkpoint_but_its_own_last() -> None:
    log = Logbook.of(5, covered=[3])
    state = saved(log)
    log.sign()
    assert verify(log, resume=state, earlier=log.note(3)).verdict is Verdict.VERIFIED
    assert verify(log, resume=state, earlier=log.note(5)).verdict is Verdict.VERIFIED
    assert codes(verify(log, resume=state, earlier=log.note(2))) == {Code.EARLIER_UNREACHED}


def test_state_is_not_saved_after_tampering() -> None:
    log = Logbook.of(5, covered=[5])
    log.leaves[1] = bytes(32)
    assert verify(log).resume is None


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("state", "chancery/verifier/v2"),
        ("size", 4),
        ("size", 0),
        ("frontier", []),
        ("head", "00"),
        ("keys", []),
        ("keys", ["x"]),
        ("signing", 1),
        ("checkpoint_size", 6),
        ("inconclusive", -1),
        ("zz", 1),
    ],
)
def test_malformed_state_is_a_usage_error(member: str, value: object) -> None:
    data = saved(Logbook.of(5, covered=[5])).to_data()
    with pytest.raises(UsageError, match="saved state"):
        ResumeState.from_json(json.dumps({**data, member: value}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_state_that_is_no_state_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        ResumeState.from_json(text)


def test_findings_are_bounded_and_counted() -> None:
    log = Logbook.of(100, covered=[100])
    log.leaves[:] = [bytes(32)] * 100
    report = verify(log)
    assert len(report.findings) == KEPT_PER_CODE
    assert report.finding_count == dict(report.counts)[Code.ALTERED_LEAF] == 100


def test_report_renders_as_json() -> None:
    log = Logbook.of(4, covered=[3])
    data = json.loads(verify(log, None).to_json())
    assert data["verdict"] == "inconclusive"
    assert data["findings"] == [
        {
            "code": "no-pinned-key",
            "message": "no ledger key was given: the log was checked against the key that it names itself",
            "verdict": "inconclusive",
        },
        {
            "code": "unsigned-tail",
            "message": "no checkpoint covers this entry and those after",
            "seq": 3,
            "verdict": "inconclusive",
        },
    ]
    assert data["kinds"] == {"certificate.issued": 3, "log.opened": 1}
    assert ResumeState.from_json(json.dumps(data["resume"])).frontier.size == 4


def test_progress_is_reported_every_so_often_and_at_the_end() -> None:
    seen: list[tuple[int, int]] = []
    log = Logbook.of(2500, covered=[])
    verify_log(log.source(), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1024, 2500), (2048, 2500), (2500, 2500)]


def test_entry_is_handed_on_as_it_was_read() -> None:
    log = Logbook.of(2, covered=[2])
    seen: list[Entry] = []
    verify_log(log.source(), pinned_key=KEY.vkey, on_entry=seen.append)
    last = seen[-1]
    assert (last.seq, last.kind, last.v, last.time_ms) == (1, "certificate.issued", 1, START_MS + 10)
    assert (last.data, last.raw) == ({"intent": 0, "signature": "c2lnbmF0dXJl"}, log.entries[1])
    assert last.prev == leaf_hash(log.entries[0])
