"""What the long runs print when they are over."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


def show_counts(tables: Mapping[str, Mapping[str, int]]) -> None:
    """Print counts by name under their titles, the most frequent first."""
    for title, counts in tables.items():
        print(f"\n{title}")
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            print(f"  {count:7} {name}")


def show_memory(memory: Mapping[str, tuple[int, int]]) -> None:
    """Print each process's resident bytes at two moments, and their ratio."""
    print("\nresident memory: after the warm-up, at the end")
    for name, (before, after) in memory.items():
        print(f"  {name:14}{before / 1e6:8.1f} MB{after / 1e6:8.1f} MB{after / before:7.3f}")


def end(problems: Sequence[str]) -> NoReturn:
    """Print what was not as it must be, and exit with 1 if anything was."""
    for problem in problems:
        print(f"PROBLEM: {problem}")
    sys.exit(1 if problems else 0)
