"""A process that appends batches for as long as it lives, and says on standard output what is durable."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from audit.ledger import Ledger
from audit.stores.sqlite import SqliteStore


def main() -> None:
    ledger = Ledger.open(SqliteStore.open(Path(sys.argv[1])), on_entry=lambda entry: None)
    for number in count():
        with ledger.batch(number) as batch:
            for _ in range(number % 5 + 1):
                batch.append("test.entry", {"text": "x" * 500})
        sys.stdout.write(f"{ledger.size} {ledger.root.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
