"""Authentication that slows down who fails often.

Nobody guesses 256 bits; but every guess costs a look into the index. A valid credential is taken whatever
else comes from its address: who shares one with an attacker is not locked out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.identity.providers import Providers
from appliance.index.queries import Index
from appliance.web.addresses import Addresses
from appliance.web.authentication import Authenticator
from appliance.web.request import StrictRequest


class SlowingAuthenticator(Authenticator):
    """Counts what fails by source address; ``clock_s`` is monotonic."""

    def __init__(
        self,
        index: Index,
        addresses: Addresses,
        providers: Providers,
        *,
        now_ms: Callable[[], int],
        clock_s: Callable[[], float],
    ) -> None:
        super().__init__(index, providers, now_ms=now_ms)
        self._addresses = addresses
        self._clock_s = clock_s

    def identify(self, request: StrictRequest, *, repeats: bool = False) -> Identity | None:
        """Return who is asking; None when no credential is shown.

        Raises:
            Refusal: ``unauthenticated``; ``rate-limited`` in its place when there were too many of them. The
                worker keeps the connection waiting after that (:mod:`appliance.web.worker`).
        """
        try:
            identity = super().identify(request, repeats=repeats)
        except Refusal as refusal:
            if refusal.slug == "unauthenticated":
                self._count_failure(request)
            raise
        if identity is None:
            self._count_failure(request)
        return identity

    def _count_failure(self, request: StrictRequest) -> None:
        wait_s = self._addresses.fail(request.remote_addr or "::", self._clock_s())
        if wait_s:
            raise Refusal(
                "rate-limited",
                "too many requests from your address showed no valid credential",
                retry_after_s=math.ceil(wait_s),
            )
