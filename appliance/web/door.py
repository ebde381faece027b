"""Where connections come in: counted by source address, through TLS within a deadline, and never too many.

Whoever waits for a client (for a handshake, for the next request, for a body) waits in :class:`Waiting`, so
that it can be told to stop: the one that has waited longest goes when there is no room for another. So
connections that are opened and left open, however many, cost the others nothing.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from greenlet import greenlet

from appliance.web.addresses import Addresses
from appliance.web.tally import Tally

# A client with a bad line needs three round trips; whoever needs longer ties up a connection and no more.
HANDSHAKE_S: Final = 10.0
# Connections that are kept free for who comes next, while others make room.
_RESERVE: Final = 16

_MANY: Final = 128
_AT_ONCE: Final = 16

Address = tuple[Any, ...]


class WaitedTooLong(gevent.Timeout):
    """The client did not send in time what it was waited for, or others need the room."""


class Waiting:
    """The greenlets that wait for their clients, in the order in which they began to."""

    def __init__(self) -> None:
        self._timeouts: dict[greenlet, WaitedTooLong] = {}
        self._ending: dict[greenlet, Any] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._timeouts)

    @contextmanager
    def up_to(self, seconds: float) -> Iterator[None]:
        """Wait for a client inside of this.

        Raises:
            WaitedTooLong: it took longer, or the wait was ended.
        """
        waiting, timeout = gevent.getcurrent(), WaitedTooLong(seconds)
        self._timeouts[waiting] = timeout
        try:
            with timeout:
                yield
        finally:
            self._timeouts.pop(waiting, None)
            # What the client sent in the last moment is answered: the end would meet the request.
            if (ending := self._ending.pop(waiting, None)) is not None:
                ending.stop()

    def end_oldest(self) -> None:
        """End the wait that began first, if there is one."""
        if self._timeouts:
            oldest = next(iter(self._timeouts))
            timeout = self._timeouts.pop(oldest)
            self._ending[oldest] = gevent.get_hub().loop.run_callback(oldest.throw, timeout)

    def end_all(self) -> None:
        """End all waits: the worker is about to stop."""
        while self._timeouts:
            self.end_oldest()


class Door(StreamServer):
    """Accepts connections, and hands over those that have come through TLS."""

    def __init__(
        self,
        listener: socket.socket,
        pool: Pool,
        context: ssl.SSLContext,
        *,
        addresses: Addresses,
        waiting: Waiting,
        make_room: Callable[[], None],
        tally: Tally,
        serve: Callable[[ssl.SSLSocket, Address], None],
    ) -> None:
        self._room = pool
        super().__init__(listener, spawn=pool)
        self._context = context
        self._addresses = addresses
        self._waiting = waiting
        self._make_room = make_room
        self._tally = tally
        self._serve = serve

    @property
    def max_accept(self) -> int:  # type: ignore[override]
        """How many connections to accept before others have a turn.

        One, so that the next may go to another worker; but where a turn takes long because there are many,
        whoever comes last would wait for as many turns as came before him.
        """
        return 1 if len(self._room) < _MANY else _AT_ONCE

    def do_handle(self, client: socket.socket, address: Address) -> None:
        """Take a connection that was accepted, or close it; making room first, if need be."""
        now_s = time.monotonic()
        if not self._addresses.enter(address[0], now_s):
            self._tally.count("connections of one address", now_s)
            client.close()
            return
        if self._room.free_count() <= _RESERVE:
            self._tally.count("connections that said nothing for longest", now_s)
            self._make_room()
        super().do_handle(client, address)

    def do_close(self, client: socket.socket, address: Address) -> None:
        """Let go of a connection; called once for each that was taken."""
        self._addresses.leave(address[0])
        client.close()

    def handle(self, client: socket.socket, address: Address) -> None:
        """Do the handshake, then hand over. Whatever fails until then is the client's affair: anyone can."""
        secured: ssl.SSLSocket | None = None
        try:
            secured = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            with self._waiting.up_to(HANDSHAKE_S):
                secured.do_handshake()
            self._serve(secured, address)
        except (OSError, WaitedTooLong):  # ssl.SSLError is an OSError
            self._tally.count("handshakes", time.monotonic())
        finally:
            if secured is not None:
                secured.close()
