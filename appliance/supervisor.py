"""``chancery serve``: starts the three processes, starts again what ends, and stops them in the right order.

The supervisor holds no key, no ledger and no socket. When it is killed, the kernel tells its children to stop
(``PR_SET_PDEATHSIG``); when one of them is, it comes back by itself, later and later if it keeps ending.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.authority.process import EXIT_HOLD
from appliance.config import Config, calling_environment
from appliance.errors import ChanceryError
from hsm.pin import Pin, pin_from_prompt

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.2
MAX_PAUSE_S: Final = 30.0
# Whatever ran this long was well, and starts again at once when it ends.
STEADY_S: Final = 60.0
STOP_DEADLINE_S: Final = 60.0
_START_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class AlreadyRunning(ChanceryError):
    """Another ``chancery serve`` runs on this data directory."""


@dataclass(slots=True)
class _Child:
    """One of the processes, and when it may start again."""

    part: str
    user: str | None
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    due_s: float = 0.0
    given_up: bool = False


@dataclass(slots=True)
class Supervisor:
    """Runs the processes of one data directory."""

    config: Config
    pin: Pin | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Run until told to stop; return the exit code.

        Raises:
            AlreadyRunning: another one runs.
        """
        lock = _lock(self.config.data / "run" / "serve.lock")
        users = self.config.users
        children = [
            _Child("authority", None if users is None else users.authority),
            _Child("index", None if users is None else users.index),
            _Child("web", None if users is None else users.web),
        ]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        try:
            for child in children:
                self._start(child)
                if child.part == "authority":
                    self._await_authority(child)
            while not self.stopping.wait(_POLL_S):
                for child in children:
                    self._tend(child)
        finally:
            # Those that ask before the one that is asked, so that nobody is told that it is gone.
            for child in reversed(children):
                _stop(child)
            os.close(lock)
        return 0

    def _start(self, child: _Child) -> None:
        command = [sys.executable, "-m", "appliance.cli.main", "--data", str(self.config.data)]
        pin = self.pin if child.part == "authority" else None
        account = None if child.user is None else pwd.getpwnam(child.user)
        child.process = subprocess.Popen(
            [*command, "serve", child.part],
            stdin=subprocess.DEVNULL if pin is None else subprocess.PIPE,
            env=calling_environment(),
            process_group=0,  # a ^C at the terminal is for the supervisor, which stops them in order
            preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else (),
            umask=-1 if account is None else 0o027,
        )
        if pin is not None and child.process.stdin is not None:
            child.process.stdin.write(f"{pin.reveal()}\n".encode())
            child.process.stdin.close()
            self.pin = None
        child.started_s = time.monotonic()

    def _await_authority(self, child: _Child) -> None:
        """Wait for the authority to listen; not for ever: reading must go on when it cannot start."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and not self.stopping.wait(_POLL_S / 2):
            if _listens(self.config.authority_socket) or (child.process and child.process.poll() is not None):
                return

    def _tend(self, child: _Child) -> None:
        """Start a child again when it has ended and its pause is over."""
        now = time.monotonic()
        if child.process is not None and (code := child.process.poll()) is not None:
            child.process = None
            self._note_end(child, code, now)
        if child.process is None and not child.given_up and now >= child.due_s:
            self._start(child)

    def _note_end(self, child: _Child, code: int, now: float) -> None:
        # Not so when the ledger is in use: an authority whose supervisor was killed may still be stopping.
        if child.part == "authority" and code == EXIT_HOLD:
            log.critical("the authority stays down until an operator acts; reading goes on")
            child.given_up = True
            return
        if child.part == "authority" and self.config.token.pin == "prompt":
            log.critical("the authority ended and its PIN was typed in: run `chancery serve` again")
            child.given_up = True
            return
        steady = now - child.started_s > STEADY_S
        child.pause_s = FIRST_PAUSE_S if steady else min(child.pause_s * 2, MAX_PAUSE_S)
        child.due_s = now + child.pause_s
        log.error("%s ended (%s); it starts again in %.1f s", child.part, _describe(code), child.pause_s)


def supervise(config: Config) -> int:
    """Run the service in the foreground; return the exit code."""
    pin = None
    if config.token.pin == "prompt":
        pin = pin_from_prompt(f"PIN of the token {config.token.label}: ")
    return Supervisor(config=config, pin=pin).run()


def is_running(config: Config) -> bool:
    """Say whether a supervisor runs on the data directory."""
    try:
        os.close(_lock(config.data / "run" / "serve.lock"))
    except AlreadyRunning:
        return True
    return False


def _die_with_parent(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:  # in the child, between fork and exec, after its user was set
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # Who wakes up does not interrupt who works: on two cores a web worker was preempted three times for
        # each request, which cost a sixth of the rate at 64 connections (docs/performance.md).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _stop(child: _Child) -> None:
    if child.process is None or child.process.poll() is not None:
        return
    child.process.terminate()
    try:
        child.process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        log.error("%s did not stop within %.0f s and is killed", child.part, STOP_DEADLINE_S)  # noqa: TRY400
        child.process.kill()
        child.process.wait()


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AlreadyRunning(
            f"a `chancery serve` runs on {path.parent.parent} already; stop it first"
        ) from error
    return descriptor


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
