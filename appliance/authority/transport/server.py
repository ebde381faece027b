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

Reply = Callable[[object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, as the kernel says."""

    uid: int
    pid: int
    local: bool  # on the admin socket, where no web tier speaks for others


class Handler(Protocol):
    """Whoever answers requests: at once or later, on any thread, exactly once."""

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        """Answer with a result or a :class:`Refusal`, or raise the latter."""


class Server:
    """Listens on one Unix socket. ``uids`` are the only users whose connections are kept."""

    def __init__(
        self,
        path: Path,
        handler: Handler,
        *,
        uids: Collection[int],
        local: bool,
        send_s: float = SEND_S,
    ) -> None:
        self._path = path
        self._send_timeout = _TIMEVAL.pack(int(send_s), int(send_s % 1 * 1_000_000))
        self._handler = handler
        self._uids = frozenset(uids)
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
            if uid not in self._uids:
                log.warning("refused a connection by uid %d (pid %d) on %s", uid, pid, self._path.name)
                connection.close()
                continue
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, self._send_timeout)
            peer = Peer(uid=uid, pid=pid, local=self._local)
            _Connection(connection, peer, self._handler).start()


class _Connection:
    """One peer's connection."""

    def __init__(self, connection: socket.socket, peer: Peer, handler: Handler) -> None:
        self._socket = connection
        self._peer = peer
        self._handler = handler
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
        try:
            self._handler.handle(self._peer, request, reply)
        except Refusal as refusal:
            reply(refusal)
        except Exception:
            log.exception("%s failed", request.op)
            reply(Refusal("internal", "the authority could not answer; its log says why"))

    def _reply(self, id_: int, outcome: object) -> None:
        self._outbox.put(build_reply(id_, outcome))

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
