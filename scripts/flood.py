"""Ten times the connections that saturate the service, all pressing, many of them hostile, and the judgement.

Meanwhile nobody may get an answer that is not 2xx, 4xx or 503, and a well-behaved client must get one each
time. Afterwards no process may have grown by more than a tenth (but for the certificates that the authority
remembers), every certificate that a client holds must be on record, every intent must have one outcome, the
verifier must pass, and a well-behaved client must be served again at once.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from support.flood import Report, flood


def main() -> None:
    """Run it, print a report, and exit with 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--connections", type=int, default=640)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="to do it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chancery-flood-") as directory:
        report = flood(
            Path(directory),
            seconds=options.seconds,
            connections=options.connections,
            seed=options.seed,
            say=lambda text: print(text, flush=True),
        )
    show(report)
    sys.exit(1 if report.problems else 0)


def show(report: Report) -> None:
    """Print what happened."""
    for title, counts in (
        ("answers", report.answers),
        ("answers by status", report.statuses),
        ("answers to a well-behaved client", report.behaved),
        ("entries of the ledger", report.entries),
    ):
        print(f"\n{title}")
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            print(f"  {count:7} {name}")
    print("\nresident memory: after the warm-up, at the end")
    for name, (before, after) in report.memory.items():
        print(f"  {name:14}{before / 1e6:8.1f} MB{after / 1e6:8.1f} MB{after / before:7.3f}")
    print(f"\n{len(report.lines)} certificates held, all on record; the ledger verifies")
    print(
        f"a well-behaved client waited {report.slowest_s:.1f} s at most, and {report.recovered_s:.2f} s after"
    )
    for problem in report.problems:
        print(f"PROBLEM: {problem}")


if __name__ == "__main__":
    main()
