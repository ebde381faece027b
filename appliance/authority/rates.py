"""How many certificates one identity may ask for. The web tier is not trusted with this.

It comes before everything else that a request costs: what it refuses is decided by nobody and on nobody's
record.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from appliance.buckets import Rate
from appliance.errors import Refusal
from appliance.limiter import Limiter


class Rates:
    """A bucket for each identity. ``rate`` None is no limit; ``clock_s`` is monotonic."""

    def __init__(self, rate: Rate | None, *, clock_s: Callable[[], float]) -> None:
        self._rate = rate
        self._limiter = None if rate is None else Limiter(rate)
        self._clock_s = clock_s

    def charge(self, caller: str, count: int = 1) -> None:
        """Count ``count`` certificates that a caller asks for; all of them or none.

        Raises:
            Refusal: ``rate-limited``, with the time after which to try again.
        """
        if self._rate is None or self._limiter is None:
            return
        wait_s = self._limiter.take(caller, self._clock_s(), count)
        if wait_s > 0:
            raise Refusal(
                "rate-limited",
                f"{caller} may ask for {self._rate.per_s:g} certificates a second, and for "
                f"{self._rate.burst} at once; nothing was recorded",
                retry_after_s=math.ceil(wait_s),
            )
