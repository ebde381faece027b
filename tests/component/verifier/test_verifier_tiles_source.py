"""The tiles source on real directories, and that it says of a log what the SQLite source says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.verifier import Code, Report, SqliteSource, TilesSource, UsageError, Verdict, verify_log
from audit.verifier.tiles_source import tile_path
from unit.verifier.logbook import KEY, NEXT_KEY, ORDER, Logbook

WHOLE = Logbook.of(600, covered=[256, 600])


def verify(path: Path) -> Report:
    with TilesSource(path) as source:
        return verify_log(source, pinned_key=KEY.vkey)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return WHOLE.write_tiles(tmp_path / "export")


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 600])
def test_export_of_any_size_is_verified(tmp_path: Path, size: int) -> None:
    report = verify(Logbook.of(size, covered=[size]).write_tiles(tmp_path))
    assert (report.verdict, report.size) == (Verdict.VERIFIED, size)


def _spoil_entry(log: Logbook) -> None:
    log.entries[300] = log.entries[300].replace(b"signature", b"signaturf")


def _shuffle(log: Logbook) -> None:
    log.entries[8:10] = log.entries[9:7:-1]


def _drop_tail(log: Logbook) -> None:
    del log.entries[590:]


def _add_tail(log: Logbook) -> None:
    log.add("credential.used", {"id": "00"})


def _add_unknown(log: Logbook) -> None:
    log.add("lunch.served", {})
    log.sign()


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (lambda log: None, Verdict.VERIFIED),
        (_spoil_entry, Verdict.TAMPERED),
        (_shuffle, Verdict.TAMPERED),
        (_drop_tail, Verdict.TAMPERED),
        (_add_tail, Verdict.INCONCLUSIVE),
        (_add_unknown, Verdict.INCONCLUSIVE),
    ],
)
def test_both_sources_give_the_same_report(
    tmp_path: Path, spoil: Callable[[Logbook], None], verdict: Verdict
) -> None:
    log = Logbook.of(600, covered=[600])
    spoil(log)
    tiles = verify(log.write_tiles(tmp_path / "export"))
    with SqliteSource(log.write_sqlite(tmp_path / "ledger.db")) as source:
        assert verify_log(source, pinned_key=KEY.vkey) == tiles
    assert tiles.verdict is verdict


def test_resumed_export_is_verified(tmp_path: Path) -> None:
    state = verify(Logbook.of(300, covered=[300]).write_tiles(tmp_path / "old")).resume
    WHOLE.write_tiles(tmp_path / "new")
    report = verify_log(TilesSource(tmp_path / "new"), pinned_key=KEY.vkey, resume=state)
    assert (report.verdict, report.resumed_from, report.size) == (Verdict.VERIFIED, 300, 600)


def test_resumed_export_with_a_checkpoint_from_before_is_an_unsigned_tail(export: Path) -> None:
    state = verify(export).resume
    log = Logbook.of(601, covered=[550])
    log.write_tiles(export)
    report = verify_log(TilesSource(export), pinned_key=KEY.vkey, resume=state)
    assert (report.checkpoint_size, codes(report)) == (600, {Code.UNSIGNED_TAIL})


def test_narrower_tiles_left_behind_are_no_matter(export: Path) -> None:
    checkpoint = (export / "checkpoint").read_bytes()
    Logbook.of(550, covered=[550]).write_tiles(export)
    (export / "checkpoint").write_bytes(checkpoint)
    assert verify(export).verdict is Verdict.VERIFIED


def test_entries_ahead_of_the_checkpoint_are_an_unsigned_tail(export: Path) -> None:
    """The log has grown, its checkpoint is still to come, and partial tiles have given way to full ones."""
    checkpoint = (export / "checkpoint").read_bytes()
    Logbook.of(768, covered=[768]).write_tiles(export)
    (export / "checkpoint").write_bytes(checkpoint)
    for kind in ("0", "entries"):
        shutil.rmtree(export / "tile" / kind / "002.p")
    assert codes(verify(export)) == {Code.UNSIGNED_TAIL}


def test_export_over_a_key_change_needs_the_checkpoint_that_handed_over(tmp_path: Path) -> None:
    log = Logbook.open()
    log.add("log.key_changed", {"ledger_key": NEXT_KEY.vkey, **ORDER})
    hand_over = log.sign(KEY, NEXT_KEY)
    log.add("credential.used", {"id": "00"})
    log.sign(NEXT_KEY)
    report = verify(log.write_tiles(tmp_path))
    assert (report.verdict, codes(report)) == (
        Verdict.INCONCLUSIVE,
        {Code.MISSING_HAND_OVER, Code.NO_CHECKPOINT},
    )
    (tmp_path / "checkpoint.2").write_text(hand_over)
    (tmp_path / "checkpoint.bak").write_text("not one of them")
    assert verify(tmp_path).verdict is Verdict.VERIFIED


def test_export_over_a_key_change_signed_by_the_old_key_alone_is_tampering(tmp_path: Path) -> None:
    log = Logbook.open()
    log.add("log.key_changed", {"ledger_key": NEXT_KEY.vkey, **ORDER})
    log.sign(KEY)
    assert Code.MISSING_SIGNATURE in codes(verify(log.write_tiles(tmp_path)))


def test_missing_hash_tile_is_inconclusive(export: Path) -> None:
    (export / "tile" / "0" / "001").unlink()
    assert codes(verify(export)) == {Code.MISSING_TILE}


def test_missing_entry_bundle_is_tampering(export: Path) -> None:
    (export / "tile" / "entries" / "001").unlink()
    assert codes(verify(export)) == {Code.TRUNCATED, Code.NO_CHECKPOINT}


def test_missing_checkpoint_is_inconclusive(export: Path) -> None:
    (export / "checkpoint").unlink()
    report = verify(export)
    assert (report.verdict, codes(report)) == (Verdict.INCONCLUSIVE, {Code.NO_CHECKPOINT})


@pytest.mark.parametrize("text", ["", "x", "x" * 200_000])
def test_checkpoint_that_is_none_is_tampering(export: Path, text: str) -> None:
    (export / "checkpoint").write_text(text)
    assert verify(export).verdict is Verdict.TAMPERED


def test_altered_hash_at_level_0_is_tampering(export: Path) -> None:
    flip(export / "tile" / "0" / "001", 32 * 7)
    assert codes(verify(export)) == {Code.ALTERED_LEAF, Code.ALTERED_TILE}


def test_altered_hash_at_a_higher_level_is_tampering(export: Path) -> None:
    flip(export / "tile" / "1" / "000.p" / "2", 32)
    assert codes(verify(export)) == {Code.ALTERED_TILE}


def test_altered_hash_at_level_2_is_tampering(tmp_path: Path) -> None:
    size = 256 * 256 + 1
    assert verify(Logbook.of(size, covered=[size]).write_tiles(tmp_path)).verdict is Verdict.VERIFIED
    flip(tmp_path / "tile" / "2" / "000.p" / "1", 0)
    assert codes(verify(tmp_path)) == {Code.ALTERED_TILE}


@pytest.mark.parametrize(
    "path", ["tile/entries/001", "tile/entries/002.p/88", "tile/0/001", "tile/1/000.p/2"]
)
@pytest.mark.parametrize("longer", [False, True])
def test_file_of_another_length_is_tampering(export: Path, path: str, *, longer: bool) -> None:
    octets = (export / path).read_bytes()
    (export / path).write_bytes(octets + b"\0" if longer else octets[:-1])
    report = verify(export)
    assert report.verdict is Verdict.TAMPERED
    assert Code.DAMAGED_SOURCE in codes(report)
    assert Code.BAD_ENTRY not in codes(report)


def test_partial_bundle_before_another_is_tampering(export: Path) -> None:
    log = Logbook.of(500, covered=[])
    log.write_tiles(export)
    (export / "tile" / "entries" / "001").unlink()
    report = verify(export)
    assert Code.MISSING_ENTRY in codes(report)
    assert report.findings[0].seq == 512


def test_bundle_of_fewer_entries_than_its_width_is_tampering(export: Path) -> None:
    folder = export / "tile" / "entries" / "002.p"
    (folder / "88").rename(folder / "89")
    assert Code.DAMAGED_SOURCE in codes(verify(export))


def test_forged_size_does_not_keep_the_verifier_busy(export: Path) -> None:
    note = (export / "checkpoint").read_text()
    (export / "checkpoint").write_text(note.replace("\n600\n", "\n9007199254740991\n"))
    assert Code.TRUNCATED in codes(verify(export))


def test_unreadable_file_is_inconclusive(export: Path) -> None:
    (export / "tile" / "entries" / "001").unlink()
    (export / "tile" / "entries" / "001").mkdir()
    report = verify(export)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert Code.UNREADABLE_SOURCE in codes(report)


def test_index_of_more_than_three_digits_has_a_path_of_several_parts() -> None:
    # The example of c2sp.org/tlog-tiles: index 1234067 is x001/x234/067.
    assert tile_path(1_234_067, 256) == "x001/x234/067"
    assert tile_path(1_000, 17) == "x001/000.p/17"


def test_directory_that_is_no_export_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exported ledger"):
        TilesSource(tmp_path)


def flip(path: Path, at: int) -> None:
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)
