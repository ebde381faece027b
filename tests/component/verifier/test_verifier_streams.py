"""A log of 50 000 entries is verified in the memory that one of 5 000 takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from unit.verifier.logbook import KEY, Logbook

PROGRAM = """
import re, sys
from audit.verifier import SqliteSource, TilesSource, verify_log
open_source = SqliteSource if sys.argv[1].endswith(".db") else TilesSource
with open_source(sys.argv[1]) as source:
    report = verify_log(source, pinned_key=sys.argv[2])
# VmHWM is this program's own peak; ru_maxrss would count what the test had in memory when it forked.
with open("/proc/self/status") as status:
    print(report.verdict.name, report.size, re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
"""


def peak_kib(path: Path, size: int) -> int:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), KEY.vkey], check=True, capture_output=True, text=True
    )
    verdict, entries, peak = result.stdout.split()
    assert (verdict, int(entries)) == ("VERIFIED", size)
    return int(peak)


def test_long_log_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    sizes = 5_000, 50_000
    short, long = (Logbook.of(size, covered=range(1000, size + 1, 1000)) for size in sizes)
    databases = short.write_sqlite(tmp_path / "5.db"), long.write_sqlite(tmp_path / "50.db")
    exports = short.write_tiles(tmp_path / "5"), long.write_tiles(tmp_path / "50")
    for pair in (databases, exports):
        few, many = map(peak_kib, pair, sizes)
        # The 45 000 further entries are 9 MiB as bytes, and several times that if they were kept parsed.
        assert many - few < 4 * 1024
