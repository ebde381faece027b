"""The ledger under real faults: a writer that is killed, a disk that fails in the middle of a commit."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit.entry import Entry, LeafHash
from audit.ledger import Ledger
from audit.merkle import root_of_leaves
from audit.stores.sqlite import SqliteStore

WRITER = Path(__file__).with_name("writer.py")


def open_ledger(path: Path) -> list[LeafHash]:
    """Open the ledger, which reads and checks all of it, and return its leaf hashes."""
    leaves: list[LeafHash] = []

    def keep(entry: Entry) -> None:
        leaves.append(entry.leaf_hash)

    Ledger.open(SqliteStore.open(path), on_entry=keep).close()
    return leaves


def check_acknowledged(lines: list[str], leaves: list[LeafHash]) -> None:
    """Check that everything a writer called durable is there, under the root that it had."""
    size, root = lines[-1].split()
    assert int(size) <= len(leaves)
    assert root_of_leaves(leaves[: int(size)]).hex() == root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SqliteStore.create(tmp_path / "ledger.db").close()
    return tmp_path / "ledger.db"


def test_killed_writer_loses_no_acknowledged_batch(path: Path) -> None:
    for delay in (0.35, 0.41, 0.53, 0.67):
        with subprocess.Popen([sys.executable, WRITER, path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(delay)
            process.kill()
            # A last line may be cut off; it was not acknowledged then.
            lines = [line for line in [first, *process.stdout] if line.endswith("\n")]
        check_acknowledged(lines, open_ledger(path))


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fsync,fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", [9, 14, 23])
def test_disk_that_fails_stops_the_writer_and_loses_nothing_acknowledged(
    path: Path, error: str, call: str, when: int
) -> None:
    inject = f"inject={call}:error={error}:when={when}+"
    process = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", inject, sys.executable, WRITER, path],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert process.returncode != 0
    assert "CommitUnknown" in process.stderr or "StoreError" in process.stderr
    leaves = open_ledger(path)
    if process.stdout:
        check_acknowledged(process.stdout.splitlines(), leaves)
