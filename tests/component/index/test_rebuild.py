"""The index is rebuilt beside the one that is read and followed, and takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.index.process import Index as Follower
from appliance.index.projection import OutOfOrder, Projection
from appliance.index.queries import Index
from appliance.index.rebuild import build_index, rebuild_index
from appliance.index.schema import open_for_reading, state_hash
from appliance.requests import UserRequest
from audit.stores.sqlite import SqliteReader
from support.authority import identity, running_authority
from support.ssh_examples import public_key


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the entries of a log with a dozen certificates."""
    path = tmp_path_factory.mktemp("log") / "ledger.db"
    with running_authority(path) as authority:
        for number in range(6):
            authority.ask(identity(), UserRequest(public_key=public_key("ed25519", number + 1)))
    reader = SqliteReader(path)
    found = list(reader.entries(0, reader.size()))
    reader.close()
    return found


def follow(directory: Path, raws: Sequence[bytes]) -> Follower:
    follower = Follower(directory / "index.db", directory / "tiles")
    follower.follow(0, list(raws), None)
    return follower


def hash_of(path: Path) -> str:
    db = open_for_reading(path)
    try:
        return state_hash(db)
    finally:
        db.conn.close()


def test_rebuilt_index_has_the_state_of_the_one_that_followed(tmp_path: Path, raws: list[bytes]) -> None:
    follow(tmp_path, raws)
    followed = hash_of(tmp_path / "index.db")
    progress: list[tuple[int, int]] = []
    built = rebuild_index(
        tmp_path / "index.db",
        lambda start, end: raws[start : min(end, start + 7)],
        len(raws),
        lambda done, total: progress.append((done, total)),
    )
    assert built.state_hash == followed == hash_of(tmp_path / "index.db")
    assert progress[-1] == (len(raws), len(raws))
    assert len(progress) > 2
    assert not list(tmp_path.glob("*.new*"))


def test_state_hash_changes_with_any_entry(tmp_path: Path, raws: list[bytes]) -> None:
    hashes = [
        build_index(tmp_path / f"{size}.db", lambda start, end: raws[start:end], size).state_hash
        for size in range(1, len(raws) + 1)
    ]
    assert len(set(hashes)) == len(raws)


def test_reader_and_follower_go_on_with_the_rebuilt_index(tmp_path: Path, raws: list[bytes]) -> None:
    half = len(raws) // 2
    follower = follow(tmp_path, raws[:half])
    reader = Index(tmp_path / "index.db")
    with reader.snapshot() as snapshot:
        assert snapshot.size == half
    rebuild_index(
        tmp_path / "index.db", lambda start, end: raws[start:end], half + 3, lambda _done, _all: None
    )
    follower.adopt()
    with reader.snapshot() as snapshot:
        assert snapshot.size == half + 3
    follower.follow(half, raws[half:], None)
    with reader.snapshot() as snapshot:
        assert snapshot.size == len(raws)
    whole = build_index(tmp_path / "whole.db", lambda start, end: raws[start:end], len(raws))
    assert hash_of(tmp_path / "index.db") == whole.state_hash


def test_follower_that_wrote_to_the_old_file_meanwhile_misses_nothing(
    tmp_path: Path, raws: list[bytes]
) -> None:
    half = len(raws) // 2
    follower = follow(tmp_path, raws[:half])
    rebuild_index(tmp_path / "index.db", lambda start, end: raws[start:end], half, lambda _done, _all: None)
    follower.follow(half, raws[half:], None)  # the file was replaced since it asked for these
    follower.adopt()
    assert follower.projection.size == half
    follower.follow(half, raws[half:], None)
    with Index(tmp_path / "index.db").snapshot() as snapshot:
        assert snapshot.size == len(raws)


def test_follower_goes_on_while_the_index_has_no_file(tmp_path: Path, raws: list[bytes]) -> None:
    half = len(raws) // 2
    follower = follow(tmp_path, raws[:half])
    (tmp_path / "index.db").unlink()
    follower.adopt()
    assert follower.projection.size == half


def test_rebuild_that_fails_leaves_the_index_as_it_was(tmp_path: Path, raws: list[bytes]) -> None:
    follow(tmp_path, raws[:20])
    before = hash_of(tmp_path / "index.db")
    with pytest.raises(OutOfOrder):
        rebuild_index(
            tmp_path / "index.db", lambda _start, _end: raws[:5], len(raws), lambda _done, _all: None
        )
    assert hash_of(tmp_path / "index.db") == before
    assert not list(tmp_path.glob("*.new*"))


def test_index_of_another_version_is_made_anew(tmp_path: Path, raws: list[bytes]) -> None:
    path = tmp_path / "index.db"
    build_index(path, lambda start, end: raws[start:end], len(raws))
    projection = Projection.open(path)
    projection._db.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")
    projection.close()
    assert Projection.open(path).size == 0
