"""KRLs, made and signed on a thread of their own: the writer waits for neither encoding nor token.

A KRL is made again when something was revoked since, and when half of its statement's time is over; until
then the same bytes are given. However many ask meanwhile, one is made for all of them.

Anyone may ask, and what a long KRL is made of costs the writer a copy. So it is copied when the thread has
come to that CA and never when somebody asks: there is one copy at a time, and of a moment after all who wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from appliance.authority.fold.state import State
from appliance.authority.publishing.krl import NAMESPACE, KrlView, MadeKrl, find_ca, make_krl, view_krl
from appliance.authority.writer import At
from appliance.errors import Refusal
from appliance.ssh.signature import SigningKey
from appliance.ssh.sshsig import build_sshsig, format_armored_sshsig
from hsm.errors import HsmError

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 512
# A long list is not made more often than leaves the authority nine tenths of its time for other things; hosts
# ask once in minutes. Short ones are made at once.
PACE: Final = 10
SHORT_S: Final = 0.05
# How long an unsigned KRL is given as it is before the token is asked again.
UNSIGNED_S: Final = 1.0

Read = Callable[[Callable[[State, At], MadeKrl | KrlView]], MadeKrl | KrlView | Refusal]
Reply = Callable[[MadeKrl | Refusal], None]


class Lister:
    """A thread that gives KRLs."""

    def __init__(
        self,
        key: SigningKey,
        *,
        read: Read,
        problem: Callable[[], str | None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; ``problem`` says what keeps the token from signing, without waiting for it.

        ``read`` has the writer read its state, and waits for what it reads.
        """
        self._key = key
        self._read = read
        self._problem = problem
        self._clock_s = clock_s
        self._asked = threading.Condition()
        self._waiting: dict[str, list[Reply]] = {}
        # Each value is replaced and never changed: the writer's thread reads them too.
        self._made: dict[str, MadeKrl] = {}
        self._rests_until_s: dict[str, float] = {}
        self._unsigned_until_s: dict[str, float] = {}

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="lister", daemon=True).start()

    def find(self, state: State, name: str, now_s: int) -> MadeKrl | None:
        """Return a CA's KRL if there is one to give as it is; on the writer's thread.

        Raises:
            Refusal: ``not-found``.
        """
        made = self._find_current(state, name, now_s)
        return None if made is None or self._needs_signature(name, made) else made

    def submit(self, name: str, reply: Reply) -> None:
        """Have ``reply`` called with a KRL of what is revoked of a CA by now.

        Raises:
            Refusal: ``overloaded``; too many are waiting.
        """
        with self._asked:
            if sum(map(len, self._waiting.values())) >= MAX_QUEUED:
                raise Refusal("overloaded", "too many hosts ask at once; try again", retry_after_s=5)
            self._waiting.setdefault(name, []).append(reply)
            self._asked.notify()

    def _find_current(self, state: State, name: str, now_s: int) -> MadeKrl | None:
        """Return a CA's KRL, signed or not, unless it is to be made anew."""
        _, ca_key = find_ca(state, name)
        made = self._made.get(name)
        if made is None:
            return None
        rests = self._clock_s() < self._rests_until_s.get(name, 0)
        return made if rests or made.says(ca_key, state.revoked.changes, now_s) else None

    def _needs_signature(self, name: str, made: MadeKrl) -> bool:
        return made.signature is None and self._clock_s() >= self._unsigned_until_s.get(name, 0)

    def _run(self) -> None:
        while True:
            name, replies = self._take()
            made = self._answer(name)
            for reply in replies:
                reply(made)

    def _take(self) -> tuple[str, list[Reply]]:
        """Wait for a request, and take with it all for the same CA; CAs have their turns."""
        with self._asked:
            self._asked.wait_for(lambda: self._waiting)
            name = next(iter(self._waiting))
            return name, self._waiting.pop(name)

    def _answer(self, name: str) -> MadeKrl | Refusal:
        try:
            found = self._read(partial(self._look, name))
            if isinstance(found, KrlView):
                made = self._sign(self._make(found), name)
            elif isinstance(found, MadeKrl):
                made = self._sign(found, name) if self._needs_signature(name, found) else found
            else:
                return found
        except Exception:
            log.exception("no KRL of %s", name)
            return Refusal("internal", "the KRL could not be made; the authority's log says why")
        self._made[name] = made
        return made

    def _look(self, name: str, state: State, at: At) -> MadeKrl | KrlView:
        """Return the KRL that was made, if it need not be made anew, or what to make it of."""
        return self._find_current(state, name, at.time_s) or view_krl(state, name, at.time_s)

    def _make(self, view: KrlView) -> MadeKrl:
        began_s = self._clock_s()
        made = make_krl(view)
        took_s = self._clock_s() - began_s
        if took_s > SHORT_S:
            self._rests_until_s[view.ca] = began_s + PACE * took_s
        return made

    def _sign(self, made: MadeKrl, name: str) -> MadeKrl:
        """Sign the statement; without a token that signs, the KRL is given all the same: it cuts off."""
        problem = self._problem()
        if problem is None:
            try:
                signature = build_sshsig(self._key, NAMESPACE, made.statement.encode())
                return replace(made, signature=format_armored_sshsig(signature))
            except HsmError as error:
                problem = str(error)
        log.error("a KRL is not signed: %s", problem)
        self._unsigned_until_s[name] = self._clock_s() + UNSIGNED_S
        return made
