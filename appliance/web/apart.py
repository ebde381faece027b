"""Where the web tier waits for directories: libldap blocks, and would stop every greenlet of a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gevent.threadpool import ThreadPool

from appliance.identity.errors import ProviderBusy
from appliance.identity.ldap_accounts import Account

# Conversations at a time, and how many may wait for one to end: more would only be answered too late.
THREADS: Final = 8
WAITING: Final = 32


class Apart:
    """Runs what blocks on threads of its own. Not gevent's pool: names are resolved there."""

    def __init__(self) -> None:
        self._pool = ThreadPool(THREADS)
        self._waiting = 0

    def __call__(self, work: Callable[[], Account]) -> Account:
        """Run it and wait for it, with other greenlets running.

        Raises:
            ProviderBusy: too many wait already; and whatever ``work`` raises.
        """
        if self._waiting >= THREADS + WAITING:
            raise ProviderBusy("too many wait for the directory already")
        self._waiting += 1
        try:
            found: Account = self._pool.apply(work)
            return found
        finally:
            self._waiting -= 1
