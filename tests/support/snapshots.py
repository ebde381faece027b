"""A token that is well, as the pool describes it."""

from __future__ import annotations

from typing import Final

from hsm.health import Counts, Snapshot
from hsm.recovery import Condition

WELL: Final = Snapshot(
    condition=Condition.READY,
    problem="",
    for_s=3600.0,
    sessions=4,
    busy=0,
    longest_call_s=0.0,
    overran=0,
    queued=0,
    counts=Counts(calls=100, failed=0, call_s=0.1, rungs={}, last_trouble=None),
)
