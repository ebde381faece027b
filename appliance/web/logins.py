"""Passwords at the door: tried a few times a minute, whoever tries and whoever's they are.

Every attempt counts, also one that succeeds: once the attempts are used up no password is looked at, so that
an attacker does not learn by it which one was right. That somebody can keep a person from logging in by
trying in his name is the price; sessions and certificates that he has go on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from appliance.buckets import Rate
from appliance.errors import Refusal, malformed
from appliance.identity.errors import InvalidCredential, ProviderBusy, ProviderUnavailable
from appliance.identity.identity import Identity
from appliance.identity.providers import Opened, Providers
from appliance.limiter import Limiter
from appliance.web.addresses import Addresses

log = logging.getLogger(__name__)

# Of one name at one provider, in each worker.
ATTEMPTS: Final = Rate(per_s=6 / 60, burst=6)
RETRY_S: Final = 10


class Logins:
    """Lets people log in with a password, and looks up on whose behalf somebody asks."""

    def __init__(self, providers: Providers, addresses: Addresses, *, clock_s: Callable[[], float]) -> None:
        self.providers = providers
        self._addresses = addresses
        self._clock_s = clock_s
        self._names = Limiter(ATTEMPTS)

    def log_in(self, provider: str, name: str, password: str, address: str | None) -> Opened:
        """Begin a session.

        Raises:
            Refusal: ``unauthenticated``, ``rate-limited``, ``identity-unavailable`` or ``overloaded``.
        """
        self._count(provider, name, address or "::")
        try:
            opened = self.providers.log_in(provider, name, password)
        except InvalidCredential as error:
            log.info("refused: a password for %r at %r: %s", name, provider, error)
            raise Refusal("unauthenticated", "the name or the password is not valid") from error
        except (ProviderUnavailable, ProviderBusy) as error:
            raise unavailable(error) from error
        log.info("%s logged in", opened.identity)
        return opened

    def look_up(self, reference: str) -> Identity:
        """Return the person on whose behalf somebody asks, as the directory has him.

        Raises:
            Refusal: ``malformed-request``; there is none. ``identity-unavailable``, ``overloaded``.
        """
        try:
            return self.providers.look_up(reference)
        except InvalidCredential as error:
            log.info("refused: on behalf of %r: %s", reference, error)
            raise malformed(
                "on_behalf_of", "no directory knows an account that is open by this name"
            ) from error
        except (ProviderUnavailable, ProviderBusy) as error:
            raise unavailable(error) from error

    def _count(self, provider: str, name: str, address: str) -> None:
        now_s = self._clock_s()
        # Directories do not tell upper case from lower.
        wait_s = self._addresses.try_password(address, now_s) or self._names.take(
            f"{provider}:{name.casefold()}", now_s
        )
        if wait_s:
            raise Refusal(
                "rate-limited",
                "too many passwords were tried, from your address or for this name",
                retry_after_s=math.ceil(wait_s),
            )


def unavailable(error: ProviderUnavailable | ProviderBusy) -> Refusal:
    """Return the refusal for a provider that cannot be asked; the cause is for the log."""
    log.warning("identity provider: %s", error)
    if isinstance(error, ProviderBusy):
        return Refusal("overloaded", "too many wait for the identity provider; try again", retry_after_s=1)
    return Refusal(
        "identity-unavailable", "the identity provider cannot be asked now; try again", retry_after_s=RETRY_S
    )
