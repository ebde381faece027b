"""How far the index is behind the ledger while the service is under as much load as it takes.

Presses on a service of its own with single requests and with batches, and looks twenty times a second how
many entries the ledger has and how many of them the index covers. The lag is how long ago the ledger had no
more than that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench import BATCH, Bench
from bench_load import write_public_keys

from appliance.index.queries import Index
from audit.stores.sqlite import SqliteReader

SAMPLE_S: Final = 0.05


class Watch:
    """Samples both sizes on a thread, and tells the lags."""

    def __init__(self, data: Path) -> None:
        self._ledger = SqliteReader(data / "ledger.db")
        self._index = Index(data / "index" / "index.db")
        self._stop = threading.Event()
        self._sizes: list[tuple[float, int]] = []
        self.lags: list[float] = []
        self.behind = 0
        self._thread = threading.Thread(target=self._run)

    def size(self) -> int:
        """Return how many entries the ledger has."""
        return self._ledger.size()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch as long as the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._ledger.close()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            with self._index.snapshot() as snapshot:
                covered = snapshot.size
            now, size = time.monotonic(), self._ledger.size()
            self._sizes.append((now, size))
            # The first moment at which the ledger was seen to have more than the index covers.
            missing = next((then for then, had in self._sizes if had > covered), now)
            self.lags.append(now - missing)
            self.behind = max(self.behind, size - covered)
            self._sizes = [each for each in self._sizes if each[1] > covered]


class LagBench(Bench):
    """The load of scripts/bench, watched."""

    def run(self) -> dict[str, Any]:
        """Press, and return the lags and what the index's process cost."""
        write_public_keys(self._keys)
        self._demo.make_data_directory()
        found = {}
        with self._demo.service():
            self._demo.register()
            loads = {
                "single, 16 connections": (self._chancery("user", self._ask_user), 16),
                "single, 64 connections": (self._chancery("user", self._ask_user), 64),
                f"batches of {BATCH}, 4 connections": (self._chancery("batch", self._ask_batch), 4),
            }
            self._check_batch()
            for name, (target, connections) in loads.items():
                watch = Watch(self._demo.data)
                began, before = time.monotonic(), watch.size()
                with watch.watching():
                    load = self._press(target, connections)
                    took, written = time.monotonic() - began, watch.size() - before
                requests = load.rate * self._seconds
                found[name] = {
                    "entries_per_s": written / took,
                    "lag_p50_s": statistics.median(watch.lags),
                    "lag_max_s": max(watch.lags),
                    "entries_behind": watch.behind,
                    "index_cpu_us": load.cpu_ms["index"] * requests / written * 1000,
                }
        return found


def main() -> None:
    """Measure, print a table, and write JSON if that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=10, help="for each load")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chancery-lag-") as directory:
        measured = LagBench(Path(directory), arguments.seconds, 1).run()
    for name, found in measured.items():
        print(
            f"{name}: {found['entries_per_s']:.0f} entries a second; the index is behind by "
            f"{found['lag_p50_s']:.2f} s in the middle, {found['lag_max_s']:.2f} s and "
            f"{found['entries_behind']} entries at most; it takes {found['index_cpu_us']:.0f} us of CPU each"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
