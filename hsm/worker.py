"""A job for the token, and the worker that does it in its session: the first two rungs of the ladder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hsm.errors import BadSignature, Failure, HsmError, KeyRefused, SigningFailed, TokenUnavailable
from hsm.recovery import Rung
from hsm.sessions import Session
from hsm.token import Token

log = logging.getLogger(__name__)

Note = Callable[[Rung, HsmError], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """Something to do in a session, and who waits for it.

    ``done`` gets what ``act`` returned or an HsmError, once. ``key`` is what the job is about, if one can
    tell. A job that is not ``repeatable`` is done once at most, whatever comes of it.
    """

    act: Callable[[Session], Any]
    done: Callable[[Any], None]
    turn_until: float
    call_s: float
    key: bytes = b""
    repeatable: bool = True
    recovered: bool = False
    answered: bool = False


@dataclass(slots=True, eq=False)
class Worker:
    """A thread's session. ``job``, ``since`` and ``overran`` (its deadline) are of the call under way."""

    number: int
    job: Job | None = None
    since: float = 0.0
    overran: bool = False
    _session: Session | None = None

    def do(self, job: Job, token: Token | None, note: Note) -> tuple[Any, Failure | None]:
        """Do the job, if need be again, and again in a new session; return what it gave.

        The second value is what a failure asks for that these rungs did not cure, None for none such.
        """
        outcome, failure = self._try(job, token)
        if failure is Failure.OPERATION and job.repeatable:
            note(Rung.CALL, outcome)
            outcome, failure = self._try(job, token)
        if failure in (Failure.OPERATION, Failure.SESSION) and job.repeatable:
            note(Rung.SESSION, outcome)
            if self._session is not None:
                self._session.close()
                self._session = None
            outcome, failure = self._try(job, token)
        return outcome, failure

    def _try(self, job: Job, token: Token | None) -> tuple[Any, Failure | None]:
        try:
            return job.act(self._session_of(token)), None
        except (SigningFailed, TokenUnavailable) as error:
            return error, error.failure
        except KeyRefused as error:
            # A key that was there and is not: whether the token can still be used, taking stock will show.
            return error, Failure.LOGIN if job.repeatable else None
        except BadSignature as error:
            return error, None
        except HsmError as error:
            return error, Failure.DEVICE
        except Exception as error:
            log.exception("a call to the token failed in an unforeseen way")
            return SigningFailed(type(error).__name__, failure=Failure.DEVICE), Failure.DEVICE

    def _session_of(self, token: Token | None) -> Session:
        """Return the worker's session, which is a new one when the token was opened anew."""
        if token is None:
            raise TokenUnavailable("the token is not open")
        if self._session is None or self._session.token is not token:
            # The old one was of a login that is gone; there is nothing to close.
            self._session = token.open_session()
        return self._session
