"""Tiles, however they grew, are what the independent reader and the proofs expect."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.index.prove import prove
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.entry import LeafHash, leaf_hash
from audit.errors import TilesDamaged
from audit.merkle import (
    consistency_proof,
    inclusion_proof,
    root_of_leaves,
    verify_consistency,
    verify_inclusion,
)
from audit.note import vkey_for
from audit.proof import parse_proof, verify_proof
from audit.tiles import WIDTH, TileReader, TileWriter, format_tile_path, parse_tile_path
from audit.verifier import TilesSource

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "ca.example.org/log/1"

sizes = st.lists(st.integers(1, 700), min_size=1, max_size=5)


def entry(seq: int) -> bytes:
    return f'{{"seq":{seq}}}'.encode() * (1 + seq % 3)


def note(size: int) -> str:
    leaves = [leaf_hash(entry(seq)) for seq in range(size)]
    return sign_checkpoint(Checkpoint(ORIGIN, size, root_of_leaves(leaves)), KEY)


def grow(writer: TileWriter, size: int) -> None:
    writer.append([entry(seq) for seq in range(writer.size, size)])
    writer.publish(note(size))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "export"


@given(steps=sizes, reopen=st.booleans(), query=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_export_grown_in_steps_has_every_entry_and_proves_it(
    steps: list[int], reopen: bool, query: int
) -> None:
    directory = Path(tempfile.mkdtemp())
    try:
        writer, size = TileWriter.open(directory), 0
        for step in steps:
            size += step
            writer = TileWriter.open(directory) if reopen else writer
            grow(writer, size)
        reader = TileReader(directory)
        root = reader.published().root
        assert list(reader.entries(0, size)) == [entry(seq) for seq in range(size)]
        seq, old = query % size, 1 + query % size
        proof = inclusion_proof(seq, size, reader.read_hash)
        verify_inclusion(leaf_hash(reader.entry(seq)), seq, size, proof, root)
        old_root = root_of_leaves([LeafHash(leaf_hash(entry(each))) for each in range(old)])
        verify_consistency(old, old_root, size, root, consistency_proof(old, size, reader.read_hash))
        with TilesSource(directory) as source:
            assert not list(source.findings())
            assert [stored.octets for stored in source.entries(0)] == [entry(seq) for seq in range(size)]
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(("before", "after"), [(5, 9), (255, 256), (256, 300), (300, 700)])
def test_proof_is_of_one_checkpoint_however_the_log_grows_meanwhile(
    directory: Path, before: int, after: int
) -> None:
    writer = TileWriter.open(directory)
    grow(writer, before)

    class Growing(TileReader):
        def checkpoint(self) -> str:
            read = super().checkpoint()
            if writer.size < after:
                grow(writer, after)
            return read

    proof = parse_proof(prove(Growing(directory), before - 1))
    assert verify_proof(proof, vkey_for(ORIGIN, KEY.public_key())).size == before


def test_export_of_a_large_log_has_tiles_of_the_second_level(directory: Path) -> None:
    size = WIDTH * WIDTH + 300
    writer = TileWriter.open(directory)
    writer.append([entry(seq) for seq in range(size)])
    grow(writer, size)
    assert (directory / format_tile_path(1, 0)).is_file()
    assert (directory / format_tile_path(2, 0, 1)).is_file()
    grow(TileWriter.open(directory), size + 1)
    assert TileReader(directory).entry(size) == entry(size)


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (255, 1, "tile/0/255.p/1"),
        (1000, 256, "tile/0/x001/000"),
        (1234067, 256, "tile/0/x001/x234/067"),
    ],
)
def test_tile_path_is_in_groups_of_three_digits(index: int, width: int, path: str) -> None:
    assert format_tile_path(0, index, width) == path


@pytest.mark.parametrize("size", [300, 600])
def test_checkpoint_of_another_tree_is_not_published(directory: Path, size: int) -> None:
    writer = TileWriter.open(directory)
    grow(writer, 300)
    writer.append([b"{}"])
    with pytest.raises(TilesDamaged, match="are not those of a checkpoint"):
        writer.publish(note(size))
    assert TileReader(directory).size() == 300
    grow(TileWriter.open(directory), 301)


def test_export_whose_last_tile_was_changed_is_not_continued(directory: Path) -> None:
    grow(TileWriter.open(directory), 300)
    tile = directory / format_tile_path(0, 1, 44)
    tile.write_bytes(bytes(44 * 32))
    with pytest.raises(TilesDamaged, match="not those of the checkpoint"):
        TileWriter.open(directory)


def test_partial_tiles_of_the_checkpoint_before_are_kept_and_older_ones_are_not(directory: Path) -> None:
    writer = TileWriter.open(directory)
    for size in (3, 5, 9):
        grow(writer, size)
    assert sorted(path.name for path in (directory / "tile/0/000.p").iterdir()) == ["5", "9"]


@pytest.mark.parametrize("failing", range(1, 9))
def test_crash_between_any_two_writes_leaves_the_old_checkpoint_complete(
    directory: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(TileWriter.open(directory), 200)
    calls = 0
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError("the machine stopped here")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with contextlib.suppress(OSError):
            grow(TileWriter.open(directory), 600)
    reader = TileReader(directory)
    size = reader.size()
    assert size == (600 if failing > calls else 200)
    assert list(reader.entries(0, size)) == [entry(seq) for seq in range(size)]
    grow(TileWriter.open(directory), 700)
    with TilesSource(directory) as source:
        assert not list(source.findings())


@given(size=st.integers(1, 700), width=st.integers(1, WIDTH), level=st.sampled_from([0, "entries"]))
@settings(max_examples=30, deadline=None)
def test_part_that_was_once_published_is_read_for_ever(size: int, width: int, level: int | str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        grow(TileWriter.open(Path(scratch)), size)
        path = format_tile_path(level, 0, width)
        reader = TileReader(Path(scratch))
        if size < width:
            with pytest.raises(TilesDamaged):
                reader.read_tile(path)
        elif level == 0:
            assert reader.read_tile(path) == b"".join(leaf_hash(entry(seq)) for seq in range(width))
        else:
            bundle = b"".join(len(entry(seq)).to_bytes(2) + entry(seq) for seq in range(width))
            assert reader.read_tile(path) == bundle


@given(
    level=st.one_of(st.integers(0, 63), st.just("entries")),
    index=st.integers(0, 10**9),
    width=st.integers(1, 256),
)
def test_path_of_a_tile_is_parsed_to_what_it_was_made_of(level: int | str, index: int, width: int) -> None:
    assert parse_tile_path(format_tile_path(level, index, width)) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000",
        "tile/0/x000/067",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/017",
        "tile/0/000.p/300",
        "tile/0/00",
        "checkpoint",
        "tile/entries/../000",
    ],
)
def test_path_that_no_tile_has_is_refused(path: str) -> None:
    with pytest.raises(TilesDamaged, match="no tile has this path"):
        parse_tile_path(path)
