"""What a ledger promises on every store: order, whole batches or nothing, no trust in what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import audit.stores.sqlite
from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.entry import FIRST_PREV, Entry
from audit.errors import CommitUnknown, LedgerAltered, LedgerInUse, LedgerShort, StoreError, TooLarge
from audit.ledger import Ledger, reread
from audit.merkle import Frontier, root_of_leaves
from audit.note import vkey_for
from audit.stores.memory import MemoryStore
from audit.stores.sqlite import SqliteReader, SqliteStore
from audit.stores.store import Reader, Store

sqlite3 = audit.stores.sqlite.sqlite3  # type: ignore[attr-defined]  # whichever of the two it found

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "ca.example.org/log/1"
VKEY = vkey_for(ORIGIN, KEY.public_key())


class World:
    """A store, and how to open it and a reader of it again."""

    def __init__(self, store: Store, reopen: Callable[[], Store], reader: Callable[[], Reader]) -> None:
        self.store, self.reopen, self.reader = store, reopen, reader

    def open(self) -> tuple[Ledger, list[Entry]]:
        entries: list[Entry] = []
        ledger = Ledger.open(
            self.reopen(),
            on_entry=entries.append,
            verify_checkpoint=lambda note: open_checkpoint(note, VKEY),
        )
        return ledger, entries


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        store = MemoryStore()
        yield World(store, lambda: store, lambda: store)
        return
    path = tmp_path / "ledger.db"
    opened = [SqliteStore.create(path)]

    def reopen() -> Store:
        opened.pop().close()
        opened.append(SqliteStore.open(path))
        return opened[-1]

    yield World(opened[0], reopen, lambda: SqliteReader(path))
    opened[0].close()


def fill(ledger: Ledger, batches: list[int], now_ms: int = 1_000) -> None:
    for number, count in enumerate(batches):
        with ledger.batch(now_ms + number) as batch:
            for position in range(count):
                batch.append("test.entry", {"position": position})


def note_for(ledger: Ledger) -> str:
    return sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), KEY)


def test_entries_of_batches_come_back_in_order_with_chain_and_root(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [1, 3, 0, 2])
    again, entries = world.open()
    assert [entry.seq for entry in entries] == list(range(6))
    assert [entry.prev for entry in entries] == [FIRST_PREV, *[entry.leaf_hash for entry in entries[:-1]]]
    assert (again.size, again.root, again.head_hash, again.head_time_ms) == (
        6,
        root_of_leaves(entry.leaf_hash for entry in entries),
        ledger.head_hash,
        1_003,
    )


def test_clock_that_goes_back_does_not_take_the_log_with_it(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [1], now_ms=5_000)
    fill(ledger, [1], now_ms=4_000)
    _, entries = world.open()
    assert [entry.time_ms for entry in entries] == [5_000, 5_000]


def test_batch_that_raises_leaves_nothing_and_the_ledger_goes_on(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [2])
    with pytest.raises(TypeError), ledger.batch(2_000) as batch:
        batch.append("test.entry", {"position": len(batch.append("test.entry", {}))})  # type: ignore[arg-type]
    fill(ledger, [1])
    _, entries = world.open()
    assert [entry.seq for entry in entries] == [0, 1, 2]


def test_too_large_entry_takes_no_seq_and_the_batch_goes_on(world: World) -> None:
    ledger = Ledger.create(world.store)
    with ledger.batch(1) as batch:
        with pytest.raises(TooLarge):
            batch.append("test.entry", {"text": "x" * 60_000})
        assert batch.append("test.entry", {}).seq == 0
    assert ledger.size == 1


def test_checkpoints_are_kept_and_verified_at_their_size(world: World) -> None:
    ledger = Ledger.create(world.store)
    for _ in range(3):
        fill(ledger, [2])
        with ledger.batch(2_000) as batch:
            batch.add_checkpoint(note_for(ledger), ledger.size)
    again, _ = world.open()
    assert again.checkpoint_size == ledger.checkpoint_size == 6


def test_checkpoint_with_another_root_is_found(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [2])
    with ledger.batch(2_000) as batch:
        forged = Frontier().append(ledger.head_hash).root()
        batch.add_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 2, forged), KEY), 2)
    with pytest.raises(LedgerAltered, match="another root"):
        world.open()


def test_log_shorter_than_its_checkpoint_is_found(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [2])
    with ledger.batch(2_000) as batch:
        batch.add_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 3, ledger.root), KEY), 3)
    with pytest.raises(LedgerShort, match="truncated or rolled back"):
        world.open()


def test_what_a_reader_finds_gives_the_writer_s_root(world: World) -> None:
    ledger = Ledger.create(world.store)
    fill(ledger, [3, 4])
    reader = world.reader()
    middle = reread(reader, Frontier(), FIRST_PREV, 3)
    assert reread(reader, *middle, 7)[0] == ledger.frontier
    with pytest.raises(LedgerShort):
        reread(reader, *middle, 8)
    with pytest.raises(LedgerAltered):
        reread(reader, middle[0], FIRST_PREV, 7)
    reader.close()


def test_log_that_exists_is_not_begun_anew(world: World) -> None:
    fill(Ledger.create(world.store), [1])
    with pytest.raises(StoreError, match="never begin it anew"):
        Ledger.create(world.reopen())


def sqlite_ledger(path: Path) -> Ledger:
    ledger = Ledger.create(SqliteStore.create(path))
    fill(ledger, [3])
    return ledger


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET leaf = zeroblob(32) WHERE seq = 1",
        "DELETE FROM entry WHERE seq = 2",
        "INSERT OR REPLACE INTO entry VALUES (1, zeroblob(32), x'7b7d')",
        "INSERT INTO entry VALUES (4, zeroblob(32), x'7b7d')",
        "INSERT INTO entry VALUES (NULL, zeroblob(32), x'7b7d')",
        "INSERT INTO checkpoint VALUES (0, '', 0)",
        "REPLACE INTO checkpoint VALUES (2, 'forged', 0)",
        "UPDATE checkpoint SET note = ''",
        "DELETE FROM checkpoint",
    ],
)
def test_guard_rails_refuse_everything_but_appending(tmp_path: Path, statement: str) -> None:
    ledger = sqlite_ledger(tmp_path / "ledger.db")
    with ledger.batch(2_000) as batch:
        batch.add_checkpoint(note_for(ledger), 3)
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        before = connection.execute("SELECT * FROM entry").fetchall()
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute(statement)
        assert connection.execute("SELECT * FROM entry").fetchall() == before
    connection.close()


def test_altered_bytes_are_found_at_their_seq(tmp_path: Path) -> None:
    sqlite_ledger(tmp_path / "ledger.db").close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute(
            "UPDATE entry SET bytes = CAST(replace(bytes, '\"position\":1', '\"position\":2') AS BLOB)"
        )
    connection.close()
    store = SqliteStore.open(tmp_path / "ledger.db")
    with pytest.raises(LedgerAltered, match="at entry 1"):
        Ledger.open(store, on_entry=lambda entry: None)
    store.close()


def test_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    ledger = sqlite_ledger(tmp_path / "ledger.db")
    with pytest.raises(LedgerInUse, match="another process"):
        SqliteStore.open(tmp_path / "ledger.db")
    ledger.close()
    SqliteStore.open(tmp_path / "ledger.db").close()


def test_file_that_was_moved_away_takes_no_batch(tmp_path: Path) -> None:
    ledger = sqlite_ledger(tmp_path / "ledger.db")
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError), ledger.batch(2_000):
        pass
    (tmp_path / "ledger.db").touch()
    with pytest.raises(StoreError, match="replaced"), ledger.batch(2_000):
        pass
    ledger.close()


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    sqlite_ledger(tmp_path / "ledger.db").close()
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600


class FailingCommit(MemoryStore):
    """A store whose commit raises, having persisted or not."""

    def __init__(self, *, persists: bool) -> None:
        super().__init__()
        self.persists = persists
        self.fails = False

    def commit(self) -> None:
        if not self.fails:
            super().commit()
            return
        if not self.persists:
            self.rollback()
        raise StoreError("disk I/O error")


@pytest.mark.parametrize("persists", [True, False])
def test_commit_that_raises_ends_the_ledger_and_what_is_there_decides(persists: bool) -> None:
    store = FailingCommit(persists=persists)
    ledger = Ledger.create(store)
    fill(ledger, [2])
    store.fails = True
    with pytest.raises(CommitUnknown):
        fill(ledger, [1])
    store.fails = False
    with pytest.raises(CommitUnknown, match="open the ledger again"):
        fill(ledger, [1])
    again = Ledger.open(store, on_entry=lambda entry: None)
    assert again.size == (3 if persists else 2)
    fill(again, [1])
