"""What the pool keeps count of, for those who ask how the token is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hsm.errors import HsmError
from hsm.recovery import Condition, Rung

# How much the newest call counts in the mean: about the last ten calls.
_WEIGHT: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The last thing that went wrong: which rung was tried, why, when (time.monotonic)."""

    rung: Rung
    cause: str
    at_s: float


def kind_of(error: HsmError) -> str:
    """Return the name of an error's kind: the PKCS#11 one behind it, if there is one."""
    return type(error.__cause__ or error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What happened since the pool was made.

    ``call_s``: the mean time of a call, of the last ten or so. ``rungs``: how often each was tried, and why.
    """

    calls: int
    failed: int
    call_s: float
    rungs: Mapping[tuple[Rung, str], int]
    last_trouble: Trouble | None

    def tried(self, rung: Rung) -> int:
        """Return how often a rung was tried, for whatever reason."""
        return sum(count for (each, _), count in self.rungs.items() if each is rung)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How token and pool are, at one moment.

    ``problem`` says why nothing can be signed and is empty when it can; ``for_s`` how long the condition
    lasts. ``overran``: sessions whose call is past its deadline.
    """

    condition: Condition
    problem: str
    for_s: float
    sessions: int
    busy: int
    longest_call_s: float
    overran: int
    queued: int
    counts: Counts


class Health:
    """The counts. Not locked: the pool's lock is held around each call."""

    def __init__(self) -> None:
        self._calls = 0
        self._failed = 0
        self._call_s = 0.0
        self._rungs: Counter[tuple[Rung, str]] = Counter()
        self._last: Trouble | None = None

    def count(self, took_s: float, *, failed: bool) -> None:
        """Count a call that came back."""
        self._calls += 1
        self._failed += failed
        weight = max(_WEIGHT, 1 / self._calls)
        self._call_s += weight * (took_s - self._call_s)

    def note(self, rung: Rung, error: HsmError) -> None:
        """Count a rung, and keep it as the last trouble."""
        self._rungs[rung, kind_of(error)] += 1
        self._last = Trouble(rung=rung, cause=str(error), at_s=time.monotonic())

    def counts(self) -> Counts:
        """Return the counts."""
        return Counts(
            calls=self._calls,
            failed=self._failed,
            call_s=self._call_s,
            rungs=dict(self._rungs),
            last_trouble=self._last,
        )
