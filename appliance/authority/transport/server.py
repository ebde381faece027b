"""The authority's sockets: who may connect, and the frames in and out.

Each connection has a thread that reads and one that sends. Replies gather in an outbox and leave together:
all that one commit completes go out in one ``send``.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Protocol

from appliance.authority.transport.protocol import (
    FrameReader,
    ProtocolError,
    Request,
    build_reply,
    encode_frame,
    parse_request,
)
from appliance.errors import Refusal

log = logging.getLogger(__name__)

_RECEIVE: Final = 262_144
_BACKLOG: Final = 64
# For a peer to take replies; one that reads nothing would have them pile up here.
SEND_S: Final = 30.0
# struct timeval of setsockopt(2), for SO_SNDTIMEO.
_TIMEVAL: Final = struct.Struct("ll")
_PAUSE_S: Final = 0.1
# struct ucred of unix(7): pid, uid, gid.
_UCRED: Final = struct.Struct("3i")
# For users who are let in without being the service's own: of one of them, and of all of them together. Each
# connection costs two threads, and a command needs one.
MAX_OF_ONE: Final = 8
MAX_OF_OTHERS: Final = 64
# That such a connection may have under way.
MAX_OPEN: Final = 4

Reply = Callable[[object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, as the kernel says."""

    uid: int
    pid: int
    local: bool  # on the admin socket, where no web tier speaks for others
    own: bool = True  # root, or the service itself; whatever else a user may, the policy says


class Handler(Protocol):
    """Whoever answers requests: at once or later, on any thread, exactly once."""

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        """Answer with a result or a :class:`Refusal`, or raise the latter."""


class Server:
    """Listens on one Unix socket. ``uids`` are the users whose connections are kept.

    With ``barred`` everybody else is let in too, but for these, on a bounded number of connections.
    """

    def __init__(
        self,
        path: Path,
        handler: Handler,
        *,
        uids: Collection[int],
        local: bool,
        barred: Collection[int] | None = None,
        send_s: float = SEND_S,
    ) -> None:
        self._path = path
        self._send_timeout = _TIMEVAL.pack(int(send_s), int(send_s % 1 * 1_000_000))
        self._handler = handler
        self._uids = frozenset(uids)
        self._barred = None if barred is None else frozenset(barred)
        self._others: Counter[int] = Counter()
        self._counting = threading.Lock()
        self._local = local
        self._listener: socket.socket | None = None
        self._stopped = False

    def start(self) -> None:
        """Bind, replacing what a crash left at the path, and begin to accept.

        The ledger's lock, taken before, is what keeps a second authority out.
        """
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        # Anyone may knock: who is let in is decided by the uid that the kernel vouches for.
        self._path.chmod(0o666)
        self._listener.listen(_BACKLOG)
        threading.Thread(target=self._accept, name=f"accept-{self._path.name}", daemon=True).start()

    def stop(self) -> None:
        """Stop accepting; connections end with the process."""
        self._stopped = True
        if self._listener is not None:
            self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - start() has set it
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._stopped:
                    return
                # Descriptors run out when a peer opens connections without end; others close theirs again.
                log.error("a connection on %s could not be accepted: %s", self._path.name, error)  # noqa: TRY400
                time.sleep(_PAUSE_S)
                continue
            pid, uid, _ = _UCRED.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            )
            if not self._admit(uid):
                log.warning("refused a connection by uid %d (pid %d) on %s", uid, pid, self._path.name)
                connection.close()
                continue
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, self._send_timeout)
            peer = Peer(uid=uid, pid=pid, local=self._local, own=uid in self._uids)
            _Connection(connection, peer, self._handler, self._leave).start()

    def _admit(self, uid: int) -> bool:
        """Say whether a user's connection is kept, and count it if he is none of the service's own."""
        if uid in self._uids:
            return True
        if self._barred is None or uid in self._barred:
            return False
        with self._counting:
            if self._others[uid] >= MAX_OF_ONE or self._others.total() >= MAX_OF_OTHERS:
                return False
            self._others[uid] += 1
        return True

    def _leave(self, peer: Peer) -> None:
        if not peer.own:
            with self._counting:
                self._others[peer.uid] -= 1
                self._others = +self._others  # nobody who has left is remembered


class _Connection:
    """One peer's connection."""

    def __init__(
        self, connection: socket.socket, peer: Peer, handler: Handler, on_end: Callable[[Peer], None]
    ) -> None:
        self._socket = connection
        self._peer = peer
        self._handler = handler
        self._on_end = on_end
        self._turns = None if peer.own else threading.Semaphore(MAX_OPEN)
        self._outbox: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def start(self) -> None:
        for target in (self._receive, self._send):
            threading.Thread(target=target, name=f"peer-{self._peer.pid}", daemon=True).start()

    def _receive(self) -> None:
        frames = FrameReader()
        try:
            while received := self._socket.recv(_RECEIVE):
                for message in frames.feed(received):
                    self._handle(parse_request(message))
        except ProtocolError as error:
            log.error("pid %d: %s; its connection is closed", self._peer.pid, error)  # noqa: TRY400
        except OSError as error:
            log.info("pid %d: connection lost: %s", self._peer.pid, error)
        self._outbox.put(None)

    def _handle(self, request: Request) -> None:
        reply = partial(self._reply, request.id)
        if self._turns is not None:
            self._turns.acquire()
        try:
            self._handler.handle(self._peer, request, reply)
        except Refusal as refusal:
            reply(refusal)
        except Exception:
            log.exception("%s failed", request.op)
            reply(Refusal("internal", "the authority could not answer; its log says why"))

    def _reply(self, id_: int, outcome: object) -> None:
        self._outbox.put(build_reply(id_, outcome))
        if self._turns is not None:
            self._turns.release()

    def _send(self) -> None:
        """Send replies as they gather. A peer that hung up changes nothing of what was done for it."""
        while (message := self._outbox.get()) is not None:
            frames = [encode_frame(message)]
            while not self._outbox.empty():
                if (message := self._outbox.get()) is None:
                    return self._close(b"".join(frames))
                frames.append(encode_frame(message))
            try:
                self._socket.sendall(b"".join(frames))
            except OSError as error:
                log.info("pid %d: %d replies not delivered: %s", self._peer.pid, len(frames), error)
                return self._close(b"")
        return self._close(b"")

    def _close(self, rest: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(rest)
        with contextlib.suppress(OSError):  # wakes the receiving thread, if it still waits
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._on_end(self._peer)
