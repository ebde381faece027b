"""The ladder on which a broken token is recovered, from the cheapest rung to the dearest.

1. The call is made again.
2. A new session, for the worker whose session broke.
3. A new login: all sessions are closed, the PIN is read from its source.
4. A new C_Initialize, after C_Finalize: the only thing that helps with some devices.
5. A new process: whoever supervises this one is asked to start another.

Workers (:mod:`hsm.pool`) do the first two by themselves. From the third on all of them wait, one thread
climbs, and no call to the token is in flight: a module that is finalised under a call may do anything. A call
that does not come back bars the way to rungs 3 and 4, and leads to rung 5.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Final, Protocol

from hsm.connection import Connection
from hsm.errors import BadSignature, HsmError, KeyRefused, ModuleUnavailable, PinRefused, TokenUnavailable
from hsm.token import Token

log = logging.getLogger(__name__)

MIN_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
# Of the time that an outage has lasted: nobody waits much longer than the token was away.
_PAUSE_SHARE: Final = 0.25
_POLL_S: Final = 0.2
# Errors of a token that answers: a new process would be told the same.
_PERSON_NEEDED: Final = (PinRefused, KeyRefused, BadSignature)


class Rung(IntEnum):
    """What was made anew."""

    CALL = 1
    SESSION = 2
    LOGIN = 3
    MODULE = 4
    PROCESS = 5


class Condition(StrEnum):
    """What the token is good for.

    ``OPENING``: it has not worked yet in this process. ``REFUSED``: it answers, but with this PIN or these
    keys it must not be used: a person has to act.
    """

    OPENING = "opening"
    READY = "ready"
    RECOVERING = "recovering"
    REFUSED = "refused"
    STOPPED = "stopped"


class Patient(Protocol):
    """What is recovered: :class:`hsm.pool.Pool`."""

    def pause(self) -> None:
        """Start no more calls."""

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call is in flight, and say whether that came to be."""

    def resume(self, token: Token) -> None:
        """Go on, with new sessions of ``token``."""

    def note(self, rung: Rung, error: HsmError) -> None:
        """Keep what went wrong, and which rung is tried."""


class Recovery:
    """The thread that climbs. It opens the token in the first place, too."""

    def __init__(
        self,
        connection: Connection,
        patient: Patient,
        *,
        restart_after_s: float,
        restart: Callable[[str], None] | None,
    ) -> None:
        self._connection = connection
        self._patient = patient
        self._restart_after_s = restart_after_s
        self._restart = restart
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._cause: HsmError = TokenUnavailable("it was not opened yet")
        self._worked = False
        self._thread = threading.Thread(target=self._run, name="token-recovery", daemon=True)
        self.tried = threading.Event()
        self.condition = Condition.OPENING
        self.problem = "the token is being opened"
        self.since_s = time.monotonic()

    def start(self) -> None:
        """Open the token, on the thread."""
        self._wanted.set()
        self._thread.start()

    def stop(self) -> None:
        """End; a rung that is being tried is not waited for."""
        self._stopping.set()
        self._wanted.set()
        self.condition, self.problem = Condition.STOPPED, "the token's pool has stopped"

    def ask(self, cause: HsmError) -> None:
        """Have the thread climb from rung 3 on; the patient is paused already."""
        if not self._wanted.is_set():
            self._cause = cause
            self._enter(Condition.RECOVERING, str(cause))
            self._wanted.set()

    def _enter(self, condition: Condition, problem: str) -> None:
        if self._stopping.is_set():
            return
        if condition is not self.condition:
            self.since_s = time.monotonic()
        self.condition, self.problem = condition, problem

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._stopping.is_set():
                return
            self._patient.pause()
            if (token := self._climb()) is None:
                return
            # The condition first: whoever is answered from now on finds the token ready.
            self._enter(Condition.READY, "")
            self.tried.set()
            self._wanted.clear()
            self._worked = True
            self._patient.resume(token)

    def _climb(self) -> Token | None:
        """Try rungs until the token works; None if it is to be left alone."""
        began = time.monotonic()
        rung = Rung.LOGIN if self._worked else Rung.MODULE
        while not self._stopping.is_set():
            if not self._patient.wait_idle(_POLL_S):
                continue
            if self._worked:
                self._patient.note(rung, self._cause)
            try:
                token = self._try(rung)
            except HsmError as error:
                self._note_failure(rung, error)
                if self._is_time_for_another_process(began, error):
                    return None
            else:
                log.info(
                    "the token works: after %.1f s, by a new %s", time.monotonic() - began, rung.name.lower()
                )
                return token
            if rung is Rung.LOGIN:
                rung = Rung.MODULE
            else:
                lasted_s = time.monotonic() - began
                self._stopping.wait(min(max(MIN_PAUSE_S, _PAUSE_SHARE * lasted_s), MAX_PAUSE_S))
        return None

    def _try(self, rung: Rung) -> Token:
        try:
            return self._connection.log_in_again() if rung is Rung.LOGIN else self._connection.begin_anew()
        except HsmError:
            raise
        except Exception as error:
            # A module that says what nobody expects must not end the one thread that can heal it.
            log.exception("a new %s failed", rung.name.lower())
            raise ModuleUnavailable(f"{type(error).__name__}: {error}") from error

    def _note_failure(self, rung: Rung, error: HsmError) -> None:
        condition = Condition.RECOVERING if self._worked else Condition.OPENING
        if isinstance(error, _PERSON_NEEDED):
            condition = Condition.REFUSED
        if str(error) != self.problem:
            log.error("a new %s did not help: %s", rung.name.lower(), error)
        self._cause = error
        self._enter(condition, str(error))
        self.tried.set()

    def _is_time_for_another_process(self, began: float, error: HsmError) -> bool:
        """Ask for rung 5 if this process once had a token that works; a new one would only fail like it."""
        if (
            not self._worked
            or self._restart is None
            or isinstance(error, _PERSON_NEEDED)
            or time.monotonic() - began < self._restart_after_s
        ):
            return False
        self._patient.note(Rung.PROCESS, error)
        self._restart(f"the token has not worked for {self._restart_after_s:.0f} s: {error}")
        return True
