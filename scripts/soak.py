"""Mixed load on the whole service while its token is disturbed at random, and the judgement afterwards.

The token is SoftHSM behind the tests' shim. At the end the verifier must pass, every certificate that a
client holds must be on record, every intent must have one outcome, nobody may have been stuck, and no process
may have grown by more than a tenth since its warm-up.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from pathlib import Path

from report import end, show_counts, show_memory

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
    end(report.problems)


def show(report: Report) -> None:
    """Print what happened."""
    show_counts(
        {
            "answers": report.answers,
            "disturbances": report.disturbances,
            "recoveries": report.recoveries,
        }
    )
    show_memory(report.memory)
    print(f"\n{report.held} certificates held, all on record; the ledger verifies")
    print(f"the slowest answer took {report.slowest_s:.1f} s")


if __name__ == "__main__":
    main()
