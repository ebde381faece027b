"""KRLs, made and signed on a thread of their own: the writer waits for neither encoding nor token.

A KRL is made again when something was revoked since, and when half of its statement's time is over; until
then the same bytes are given. However many ask meanwhile, one is made for all of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Final

from appliance.authority.krl import NAMESPACE, KrlView, MadeKrl, find_ca, make_krl
from appliance.authority.state import State
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

Reply = Callable[[MadeKrl | Refusal], None]


class Lister:
    """A thread that gives KRLs."""

    def __init__(
        self,
        key: SigningKey,
        *,
        problem: Callable[[], str | None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; ``problem`` says what keeps the token from signing, without waiting for it."""
        self._key = key
        self._problem = problem
        self._clock_s = clock_s
        self._queue: SimpleQueue[tuple[KrlView, Reply]] = SimpleQueue()
        # Each value is replaced and never changed: the writer's thread reads them too.
        self._made: dict[str, MadeKrl] = {}
        self._rests_until_s: dict[str, float] = {}

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="lister", daemon=True).start()

    def find(self, state: State, name: str, now_s: int) -> MadeKrl | None:
        """Return a CA's KRL if there is one to give as it is; on the writer's thread.

        Raises:
            Refusal: ``not-found``.
        """
        _, ca_key = find_ca(state, name)
        made = self._made.get(name)
        if made is None or made.signature is None:
            return None
        rests = self._clock_s() < self._rests_until_s.get(name, 0)
        return made if rests or made.says(ca_key, state.revoked.changes, now_s) else None

    def submit(self, view: KrlView, reply: Reply) -> None:
        """Have ``reply`` called with a KRL that says what the view says.

        Raises:
            Refusal: ``overloaded``; too many are waiting.
        """
        if self._queue.qsize() >= MAX_QUEUED:
            raise Refusal("overloaded", "too many hosts ask at once; try again", retry_after_s=5)
        self._queue.put((view, reply))

    def _run(self) -> None:
        while True:
            views, replies = self._take()
            for name, view in views.items():
                made = self._answer(view)
                for reply in replies[name]:
                    reply(made)

    def _take(self) -> tuple[dict[str, KrlView], dict[str, list[Reply]]]:
        """Wait for a request, and take with it all that came in meanwhile; of each CA the newest view."""
        views: dict[str, KrlView] = {}
        replies: dict[str, list[Reply]] = {}
        view, reply = self._queue.get()
        while True:
            views[view.ca] = view
            replies.setdefault(view.ca, []).append(reply)
            try:
                view, reply = self._queue.get_nowait()
            except Empty:
                return views, replies

    def _answer(self, view: KrlView) -> MadeKrl | Refusal:
        try:
            made = self._made.get(view.ca)
            if made is None or not made.says(view.ca_key, view.changes, view.now_s):
                made = self._make(view)
            if made.signature is None:
                made = self._sign(made)
        except Exception:
            log.exception("no KRL of %s", view.ca)
            return Refusal("internal", "the KRL could not be made; the authority's log says why")
        self._made[view.ca] = made
        return made

    def _make(self, view: KrlView) -> MadeKrl:
        began_s = self._clock_s()
        made = make_krl(view)
        took_s = self._clock_s() - began_s
        if took_s > SHORT_S:
            self._rests_until_s[view.ca] = began_s + PACE * took_s
        return made

    def _sign(self, made: MadeKrl) -> MadeKrl:
        """Sign the statement; without a token that signs, the KRL is given all the same: it cuts off."""
        problem = self._problem()
        if problem is None:
            try:
                signature = build_sshsig(self._key, NAMESPACE, made.statement.encode())
                return replace(made, signature=format_armored_sshsig(signature))
            except HsmError as error:
                problem = str(error)
        log.error("a KRL is not signed: %s", problem)
        return made
