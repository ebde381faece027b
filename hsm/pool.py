"""A pool of sessions that sign: deep for a network HSM, one session for a small token, fair in both.

Each worker is a thread with a session of its own that calls C_Sign and does nothing else. What comes before
(hashing) is done by whoever submits, what comes after (verifying, encoding, passing on) by one more thread.
Jobs wait in :class:`hsm.turns.Turns`. A job has a deadline for its turn and one for the call; when the second
passes, its caller is told so and the worker is written off until the call returns, if it does.

What goes wrong climbs the ladder of :mod:`hsm.recovery`; jobs wait meanwhile, as long as their turn may take.
An idle session signs a probe from time to time, because devices and proxies forget those that do not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from hsm.algorithm import PublicKey
from hsm.connection import Connection
from hsm.errors import (
    Failure,
    HsmError,
    NoTurn,
    SigningFailed,
    TokenOverran,
)
from hsm.health import Health, Snapshot
from hsm.keys import Prepared, PrivateKey, prepare, private_key
from hsm.recovery import Condition, Recovery, Rung
from hsm.sessions import Session
from hsm.token import Token
from hsm.turns import Turns
from hsm.worker import Job, Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_S: Final = 0.1
# A key that fails although the token works is not to keep the token in recovery.
_DISTRUST_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes, and times in seconds. A call or an outage of ``restart_after_s`` ends in a new process."""

    sessions: int = 4
    sign_s: float = 10.0
    turn_s: float = 10.0
    keep_alive_s: float = 15.0
    restart_after_s: float = 90.0


class Pool:
    """The sessions of one token. Thread-safe."""

    def __init__(
        self, connection: Connection, limits: Limits, *, restart: Callable[[str], None] | None = None
    ) -> None:
        """Make a pool; ``restart`` is called once when nothing but a new process can help (None: never)."""
        self.limits = limits
        self._connection = connection
        self._restart = restart
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._turns: Turns[Job] = Turns()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._finished: SimpleQueue[tuple[Job, Any] | None] = SimpleQueue()
        self._workers = [Worker(number) for number in range(limits.sessions)]
        self._in_flight = 0
        self._paused = True
        self._stopping = False
        self._token: Token | None = None
        self._distrusted: dict[bytes, float] = {}
        self._health = Health()
        self._recovery = Recovery(
            connection, self, restart_after_s=limits.restart_after_s, restart=self._restart_once
        )
        self._probe = private_key(connection.probe.public_key, _no_signer)

    def start(self) -> None:
        """Start the threads; the token is opened by one of them, see :meth:`wait_ready`."""
        for worker in self._workers:
            _start_thread(f"token-{worker.number}", partial(self._work, worker))
        _start_thread("token-watch", self._watch)
        _start_thread("token-finish", self._finish)
        self._recovery.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the token was opened or that failed for the first time; say whether it is ready."""
        self._recovery.tried.wait(timeout_s)
        return self._recovery.condition is Condition.READY

    @property
    def problem(self) -> str | None:
        """Why nothing can be signed just now; None when the token works."""
        if self._recovery.condition is not Condition.READY:
            return self._recovery.problem
        if all(worker.overran for worker in self._workers):
            return f"all {len(self._workers)} sessions hang: no call has come back in time"
        return None

    @property
    def token(self) -> Token | None:
        """The token as it was last opened."""
        return self._token

    def private_key(self, public_key: PublicKey, purpose: str) -> PrivateKey:
        """Return a private key whose ``sign`` goes before all callers' jobs, and expect it of the token.

        Its ``sign`` raises what a :class:`~hsm.token.Token`'s does, NoTurn, and TokenOverran.

        Raises:
            KeyRefused: the key serves another purpose already.
        """
        self._connection.expect(public_key, purpose)
        key = private_key(public_key, lambda data: self._sign_now(key.spki, data))
        return key

    def release_key(self, public_key: PublicKey) -> None:
        """Expect a key of the token no more; what is asked of it already is signed all the same."""
        self._connection.release(public_key)

    def submit(
        self,
        key: PrivateKey,
        prepared: Prepared,
        *,
        caller: Hashable,
        done: Callable[[bytes | HsmError], None],
    ) -> None:
        """Queue what ``key.prepare`` made; ``done`` gets C_Sign's bytes, unverified, or the error, once.

        It is called on the pool's finishing thread, on which nothing may wait.
        """
        now = time.monotonic()
        job = self._sign_job(key.spki, prepared.data, done, now)
        with self._lock:
            accepted = not self._stopping
            if accepted:
                self._turns.add(job, caller)
        self._queued(job, accepted=accepted)

    def call(self, act: Callable[[Session], T], *, call_s: float, repeatable: bool = False) -> T:
        """Do something else in a session, before all callers' jobs, and return what ``act`` returns.

        Raises:
            HsmError: as ``act`` does, NoTurn, or TokenOverran after ``call_s`` seconds.
        """
        job = Job(
            act=act,
            done=_nothing,
            turn_until=time.monotonic() + self.limits.turn_s,
            call_s=call_s,
            repeatable=repeatable,
        )
        outcome: T = self._call(job)
        return outcome

    def snapshot(self) -> Snapshot:
        """Return how the token and the pool are."""
        now = time.monotonic()
        with self._lock:
            busy = [now - worker.since for worker in self._workers if worker.job is not None]
            return Snapshot(
                condition=self._recovery.condition,
                problem=self.problem or "",
                for_s=now - self._recovery.since_s,
                sessions=len(self._workers),
                busy=len(busy),
                longest_call_s=max(busy, default=0.0),
                overran=sum(worker.overran for worker in self._workers),
                queued=len(self._turns),
                counts=self._health.counts(),
            )

    def drain(self, timeout_s: float) -> None:
        """Wait until nothing is queued or under way, and answer what is not done in time.

        Jobs that come later are done all the same, until :meth:`stop`.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with self._lock:
                if not self._turns and not self._in_flight:
                    break
            time.sleep(_TICK_S / 10)
        with self._lock:
            left = self._turns.remove(lambda _job: True)
            overran = [worker.job for worker in self._workers if worker.job is not None]
            answered = [job for job in overran if not job.answered]
            for job in answered:
                job.answered = True
        for job in left:
            self._finished.put((job, NoTurn("the authority stops; the token was not asked", away=True)))
        for job in answered:
            self._finished.put((job, TokenOverran("the token had not answered when the authority stopped")))
        passed = threading.Event()
        self._finished.put((_marker(passed), None))
        passed.wait(timeout_s + 1)

    def stop(self) -> None:
        """Take no more jobs, answer what is left, and let the threads end; a hanging call is left behind."""
        with self._lock:
            stopped, self._stopping = self._stopping, True
        if stopped:
            return
        self.drain(0)
        ready = self._recovery.condition is Condition.READY
        self._recovery.stop()
        for _ in self._workers:
            self._wake.put(None)
        self._finished.put(None)
        # Not while it may be opened at this moment, or a call hangs in it.
        if ready and self.wait_idle(1.0) and self._token is not None:
            self._token.abandon()

    # What :class:`hsm.recovery.Patient` asks for.

    def pause(self) -> None:
        """Start no more calls."""
        with self._lock:
            self._paused = True

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call is in flight, and say whether that came to be."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._in_flight, timeout_s)

    def resume(self, token: Token) -> None:
        """Go on, with new sessions of ``token``."""
        with self._lock:
            self._token = token
            self._paused = False
            waiting = len(self._turns)
        for _ in range(waiting):
            self._wake.put(None)

    def note(self, rung: Rung, error: HsmError) -> None:
        """Count a rung that is tried, and keep why."""
        with self._lock:
            self._health.note(rung, error)
        log.warning("token: a new %s is tried: %s", rung.name.lower(), error)

    def _restart_once(self, reason: str) -> None:
        restart, self._restart = self._restart, None
        if restart is not None:
            restart(reason)

    # Submitting.

    def _sign_job(
        self, key_spki: bytes, data: bytes, done: Callable[[bytes | HsmError], None], now: float
    ) -> Job:
        return Job(
            act=lambda session: session.sign(session.token.record(key_spki), data),
            done=done,
            turn_until=now + self.limits.turn_s,
            call_s=self.limits.sign_s,
            key=key_spki,
        )

    def _sign_now(self, key_spki: bytes, data: bytes) -> bytes:
        signature: bytes = self._call(self._sign_job(key_spki, data, _nothing, time.monotonic()))
        return signature

    def _call(self, job: Job) -> Any:
        answered = threading.Event()
        outcome: list[Any] = []

        def done(answer: Any) -> None:
            outcome.append(answer)
            answered.set()

        job.done = done
        with self._lock:
            accepted = not self._stopping
            if accepted:
                self._turns.add_urgent(job)
        self._queued(job, accepted=accepted)
        answered.wait()
        if isinstance(outcome[0], HsmError):
            raise outcome[0]
        return outcome[0]

    def _queued(self, job: Job, *, accepted: bool) -> None:
        if accepted:
            self._wake.put(None)
        else:
            # Not by the finishing thread, which may have ended.
            job.done(NoTurn("the token's pool has stopped", away=True))

    # The workers.

    def _work(self, worker: Worker) -> None:
        while not self._stopping:
            try:
                self._wake.get(timeout=self.limits.keep_alive_s)
                keep_alive = None
            except Empty:
                # Nobody looks at the signature: that there is one is enough.
                data = prepare(self._probe, self._connection.probe.message()).data
                keep_alive = self._sign_job(self._probe.spki, data, _nothing, time.monotonic())
            if (job := self._take(worker, keep_alive)) is not None:
                self._do(worker, job)

    def _take(self, worker: Worker, keep_alive: Job | None) -> Job | None:
        with self._lock:
            # While paused, wake-ups come to nothing: resume() makes new ones.
            job = None if self._paused else self._turns.take() or keep_alive
            if job is None:
                return None
            worker.since = time.monotonic()
            if job.turn_until < worker.since:
                job.answered = True
                self._finished.put((job, self._no_turn()))
                return None
            worker.job = job
            self._in_flight += 1
            return job

    def _do(self, worker: Worker, job: Job) -> None:
        outcome, failure = worker.do(job, self._token, self.note)
        with self._lock:
            took = time.monotonic() - worker.since
            worker.job, worker.overran = None, False
            self._in_flight -= 1
            self._health.count(took, failed=isinstance(outcome, HsmError))
            recovers = failure is not None and self._may_recover(job)
            if recovers:
                self._paused = True
                if job.repeatable and not job.answered:
                    job.recovered = True
                    self._turns.put_back(job)
            elif failure is not None and job.key:
                self._distrusted[job.key] = time.monotonic() + _DISTRUST_S
            answers = not job.answered and not (recovers and job.repeatable)
            job.answered = job.answered or answers
            if not self._in_flight:
                self._idle.notify_all()
        if answers:
            self._finished.put((job, outcome))
        if recovers:
            self._recovery.ask(outcome)

    def _may_recover(self, job: Job) -> bool:
        """Say whether a failure is the token's, as far as can be told, and not this job's alone."""
        return not job.recovered and self._distrusted.get(job.key, 0.0) < time.monotonic()

    # The other threads.

    def _finish(self) -> None:
        while (finished := self._finished.get()) is not None:
            job, outcome = finished
            try:
                job.done(outcome)
            except Exception:
                log.exception("what the token gave could not be passed on")

    def _watch(self) -> None:
        """Tell callers whose time is up, and ask for a new process when a call does not come back."""
        while not self._stopping:
            time.sleep(_TICK_S)
            now = time.monotonic()
            with self._lock:
                late = self._turns.remove(lambda job: job.turn_until < now)  # noqa: B023 - used at once
                overran = [
                    worker
                    for worker in self._workers
                    if worker.job is not None
                    and not worker.overran
                    and now - worker.since > worker.job.call_s
                ]
                for worker in overran:
                    worker.overran = True
                jobs = [
                    worker.job for worker in overran if worker.job is not None and not worker.job.answered
                ]
                for job in (*late, *jobs):
                    job.answered = True
                no_turn = self._no_turn()
                stuck = any(
                    worker.overran and now - worker.since > worker.job.call_s + self.limits.restart_after_s
                    for worker in self._workers
                    if worker.job is not None
                )
            for job in late:
                self._finished.put((job, no_turn))
            for job in jobs:
                log.error("the token has not answered for %.1f s; who asked is told so", job.call_s)
                self._finished.put((job, TokenOverran(f"the token did not answer within {job.call_s:g} s")))
            if stuck and self._restart is not None:
                reason = f"a call to the token has not come back for {self.limits.restart_after_s:.0f} s"
                self.note(Rung.PROCESS, TokenOverran(reason))
                self._restart_once(reason)

    def _no_turn(self) -> NoTurn:
        problem = self.problem
        why = problem or "too many signatures are asked of it"
        away = problem is not None
        return NoTurn(f"the token was not asked within {self.limits.turn_s:g} s: {why}", away=away)


def _start_thread(name: str, target: Callable[[], None]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def _marker(passed: threading.Event) -> Job:
    return Job(act=_no_signer, done=lambda _outcome: passed.set(), turn_until=0, call_s=0)


def _nothing(_outcome: object) -> None:
    """Whoever asked does not wait."""


def _no_signer(_: object) -> bytes:
    raise SigningFailed("this key only prepares", failure=Failure.OPERATION)
