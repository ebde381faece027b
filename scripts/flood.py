"""Ten times the connections that saturate the service, all pressing, many of them hostile, and the judgement.

Meanwhile nobody may get an answer that is not 2xx, 4xx or 503, and a well-behaved client must get one each
time. Afterwards no process may have grown by more than a tenth (but for the certificates that the authority
remembers), every certificate that a client holds must be on record, every intent must have one outcome, the
verifier must pass, and a well-behaved client must be served again at once.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from pathlib import Path

from report import end, show_counts, show_memory

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
    end(report.problems)


def show(report: Report) -> None:
    """Print what happened."""
    show_counts(
        {
            "answers": report.answers,
            "answers by status": report.statuses,
            "answers to a well-behaved client": report.behaved,
            "entries of the ledger": report.entries,
        }
    )
    show_memory(report.memory)
    print(f"\n{len(report.lines)} certificates held, all on record; the ledger verifies")
    print(
        f"a well-behaved client waited {report.slowest_s:.1f} s at most, and {report.recovered_s:.2f} s after"
    )


if __name__ == "__main__":
    main()
