"""How bytes come from a client to gunicorn's parser: no header without end, and no client before all others.

What lies ready on a socket is read without a switch to other greenlets, and each TLS record is a read of its
own: a client that sends byte after byte, fast, would have the worker for itself, and for as long as it likes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import gevent
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import SocketUnreader

# Of a request line and all header fields. The parser looks through all of it again for each read.
MAX_HEADER: Final = 65_536
# Reads after which others have a turn.
_TURN: Final = 32


class Unreader(SocketUnreader):  # type: ignore[misc, unused-ignore]
    """Reads from a client, in turns with all others."""

    def __init__(self, client: ssl.SSLSocket) -> None:
        super().__init__(client)
        self._reads = 0
        self._left: int | None = None
        # What is done around each wait for the client.
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext

    def expect_header(self, expected: bool) -> None:
        """Limit what is read from here on to a header's length; or lift that limit."""
        self._left = MAX_HEADER if expected else None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what is there, or what comes first.

        Raises:
            LimitRequestHeaders: the header is too long.
        """
        self._reads += 1
        if self._reads % _TURN == 0:
            gevent.sleep(0)
        with self.around():
            received: bytes = super().chunk(size_hint)
        if self._left is not None:
            self._left -= len(received)
            if self._left < 0:
                raise LimitRequestHeaders("the header is too long")
        return received
