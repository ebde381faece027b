"""Gunicorn's gevent worker, with three habits changed.

What is no HTTP request is answered with a problem in the place of gunicorn's own HTML. A stop does not wait
for connections that are open and idle, as clients keep them: only for requests. And a reply leaves in one
piece, head and body: one TLS record and one system call, where gunicorn makes two of each.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import gevent
from greenlet import greenlet
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from appliance.errors import Refusal, malformed
from appliance.web.problems import format_bare_reply

log = logging.getLogger(__name__)

# For who connected while the worker was about to end.
_LAST_WAIT_S: Final = 1.0
# Of a reply that is sent in one piece, in bytes: longer than all but lists of entries.
_MAX_GATHERED: Final = 65_536


class _Gathering:
    """A connection that sends what it is given when it is told to, or when there is much of it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._gathered: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def sendall(self, data: bytes) -> None:
        """Take data to be sent."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _MAX_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Send what there is."""
        if self._gathered:
            gathered, self._gathered, self._size = b"".join(self._gathered), [], 0
            self._connection.sendall(gathered)


class Worker(GeventWorker):  # type: ignore[misc, unused-ignore]
    """Answers what gunicorn's parser refuses as the application answers all else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[greenlet, gevent.Timeout] = {}

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Wait for the next request of a connection."""
        waiting = gevent.getcurrent()
        timeout = gevent.Timeout(self.cfg.keepalive if self.alive else _LAST_WAIT_S)
        self._idle[waiting] = timeout
        try:
            with timeout:
                yield
        except gevent.Timeout as expired:  # the connection ends without a word
            if expired is not timeout:
                raise
        finally:
            del self._idle[waiting]

    def handle_request(self, listener_name: object, req: object, sock: Any, addr: object) -> None:
        """Answer one request."""
        gathering = _Gathering(sock)
        try:
            super().handle_request(listener_name, req, gathering, addr)
        finally:
            gathering.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more connections, and end once the requests that are there are answered (SIGTERM)."""
        super().handle_exit(sig, frame)
        for waiting, timeout in list(self._idle.items()):
            gevent.kill(waiting, timeout)

    def handle_error(self, req: object, client: Any, addr: object, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a connection that gunicorn gives up; it closes it afterwards."""
        if isinstance(exc, ssl.SSLError):  # there is no TLS to answer over
            log.info("a TLS connection failed: %s", exc.reason)
            return
        instance, refusal = uuid.uuid4(), refuse(exc)
        if refusal.slug == "internal":
            log.error("request %s failed", instance, exc_info=exc)
        else:
            log.info("no HTTP request: %s", exc, extra={"request_id": str(instance)})
        with contextlib.suppress(OSError):  # the client is gone
            write_nonblock(client, format_bare_reply(refusal, instance))


def refuse(error: BaseException) -> Refusal:
    """Return the refusal that stands for what kept bytes from becoming a request, or a reply from leaving."""
    if isinstance(error, LimitRequestLine | LimitRequestHeaders):
        return Refusal("too-large", "the request line, or a header field, or their number is over the limit")
    if isinstance(error, ParseException):
        return malformed("request", "expected HTTP/1.1 (RFC 9112)")
    return Refusal("internal", "the request failed; the log has the cause under this id")
