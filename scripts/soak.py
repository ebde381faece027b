"""Mixed load on the whole service while its token is disturbed at random, and the judgement afterwards.

The token is SoftHSM behind the tests' shim. At the end the verifier must pass, every certificate that a
client holds must be on record, every intent must have one outcome, nobody may have been stuck, and no process
may have grown by more than a tenth since its warm-up.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from support.soak import Report, soak


def main() -> None:
    """Run it, print a report, and exit with 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="to do it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chancery-soak-") as directory:
        report = soak(
            Path(directory),
            seconds=options.seconds,
            seed=options.seed,
            say=lambda text: print(text, flush=True),
        )
    show(report)
    sys.exit(1 if report.problems else 0)


def show(report: Report) -> None:
    """Print what happened."""
    for title, counts in (
        ("answers", report.answers),
        ("disturbances", report.disturbances),
        ("recoveries", report.recoveries),
    ):
        print(f"\n{title}")
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            print(f"  {count:7} {name}")
    print("\nresident memory: after the warm-up, at the end")
    for name, (before, after) in report.memory.items():
        print(f"  {name:14}{before / 1e6:8.1f} MB{after / 1e6:8.1f} MB{after / before:7.3f}")
    print(f"\n{report.held} certificates held, all on record; the ledger verifies")
    print(f"the slowest answer took {report.slowest_s:.1f} s")
    for problem in report.problems:
        print(f"PROBLEM: {problem}")


if __name__ == "__main__":
    main()
