"""Token buckets, as arithmetic: how much of something is let through at once, and how much in the long run.

A full bucket holds ``burst`` tokens, and ``per_s`` of them come back in a second. All there is to know of a
bucket is the moment at which it will be full again: the generic cell rate algorithm (ITU-T I.371, annex A).
Whoever was never seen has a full bucket, and so has whoever has not been seen for long, so that both need
not be remembered.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a bucket holds, and how many tokens a second come back; both are above zero."""

    per_s: float
    burst: int

    @property
    def filling_s(self) -> float:
        """The seconds in which an empty bucket becomes full."""
        return self.burst / self.per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an attempt: the bucket afterwards, and the seconds until the same would succeed.

    ``wait_s`` is 0 when the tokens were taken; otherwise none were, and the bucket is as it was.
    """

    full_s: float
    wait_s: float = 0.0


def take(rate: Rate, full_s: float | None, now_s: float, count: int = 1) -> Taken:
    """Take ``count`` tokens from the bucket that will be full at ``full_s``; None is one that is full.

    Moments are in seconds of one clock. Should that clock be set back, the bucket counts as full later, but
    never by more than it takes to fill.

    Raises:
        ValueError: a full bucket does not hold so many.
    """
    if not 0 < count <= rate.burst:
        raise ValueError(f"got {count} tokens to take at once, expected 1 to {rate.burst}")
    known_s = now_s if full_s is None else min(full_s, now_s + rate.filling_s)
    after_s = max(known_s, now_s) + count / rate.per_s
    wait_s = after_s - now_s - rate.filling_s
    # Sums of fractions of a second can be too large by a hair, for which nobody need wait.
    if wait_s > 1e-6:
        return Taken(full_s=known_s, wait_s=wait_s)
    return Taken(full_s=after_s)
