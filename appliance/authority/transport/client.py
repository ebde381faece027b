"""The other end of the authority's socket: web tier, index and command line ask through this.

One connection carries many requests at a time: whoever asks waits for its own reply, one thread reads them
all. Under gevent, threads are greenlets and nothing changes here.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from pathlib import Path
from typing import Any, Final

from appliance.authority.transport.protocol import FrameReader, ProtocolError, encode_frame, parse_reply
from appliance.errors import Refusal

_RECEIVE: Final = 262_144
DEFAULT_TIMEOUT_S: Final = 30.0


class Unreachable(Refusal):
    """The authority's socket takes no connection: its cause says why not."""


class _Waiting:
    """A request that has been sent and its reply, once there is one.

    Waiting is a lock that whoever brings the reply lets go of: a third of the cost of an Event.
    """

    __slots__ = ("_lock", "outcome")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.outcome: Any | Refusal = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for the reply, and say whether it has come."""
        return self._lock.acquire(timeout=timeout_s)

    def answer(self, outcome: Any | Refusal) -> None:
        """Bring the reply; once, so whoever does has taken the request out of those that wait."""
        self.outcome = outcome
        self._lock.release()


class AuthorityClient:
    """Asks the authority; connects when first asked, and again after it has restarted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def call(self, op: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, **args: object) -> Any:
        """Ask and wait for the result.

        A request whose connection is lost may have been carried out: what became of it is on record.

        Raises:
            Refusal: the authority's own, or ``ledger-unavailable`` when it cannot be reached or does not
                answer in time.
        """
        return self._connected().call(op, args, timeout_s)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _connected(self) -> _Link:
        with self._lock:
            if self._link is None or self._link.lost:
                self._link = _Link(self._path)
            return self._link


class _Link:
    """One connection, for as long as it lasts."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Unreachable(
                "ledger-unavailable",
                f"the authority is not running, or not for this user ({error.strerror}); try again",
                retry_after_s=2,
            ) from error
        self.lost = False
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._lock = threading.Lock()
        self._outgoing: list[bytes] = []
        self._sending = False
        threading.Thread(target=self._receive, name="authority-replies", daemon=True).start()

    def call(self, op: str, args: dict[str, object], timeout_s: float) -> Any:
        waiting = _Waiting()
        with self._lock:
            id_ = next(self._ids)
            self._waiting[id_] = waiting
            lost = self.lost
        if lost:
            raise _lost()
        try:
            self._send(encode_frame({"id": id_, "op": op, "args": args}))
            if not waiting.wait(timeout_s):
                raise Refusal(
                    "overloaded",
                    f"the authority did not answer within {timeout_s:.0f} s; what became of it is on record",
                    retry_after_s=5,
                )
        finally:
            self._waiting.pop(id_, None)
        if isinstance(waiting.outcome, Refusal):
            raise waiting.outcome
        return waiting.outcome

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _send(self, frame: bytes) -> None:
        """Send, together with what others want sent meanwhile: whoever comes first sends for all."""
        with self._lock:
            self._outgoing.append(frame)
            if self._sending:
                return
            self._sending = True
        while True:
            with self._lock:
                frames, self._outgoing = self._outgoing, []
                if not frames:
                    self._sending = False
                    return
            try:
                self._socket.sendall(b"".join(frames))
            except OSError:
                self._end()
                with self._lock:
                    self._sending = False
                return

    def _receive(self) -> None:
        frames = FrameReader()
        try:
            while received := self._socket.recv(_RECEIVE):
                for message in frames.feed(received):
                    id_, outcome = parse_reply(message)
                    with self._lock:
                        waiting = self._waiting.pop(id_, None)
                    if waiting is not None:
                        waiting.answer(outcome)
        except (OSError, ProtocolError):
            pass
        self._end()
        self._socket.close()

    def _end(self) -> None:
        """Tell everyone who waits that no reply will come."""
        with self._lock:
            self.lost = True
            abandoned, self._waiting = self._waiting, {}
        for waiting in abandoned.values():
            waiting.answer(_lost())


def _lost() -> Refusal:
    return Refusal(
        "ledger-unavailable",
        "the authority went away before it answered; what became of the request is on record: try again",
        retry_after_s=2,
    )
