"""Gunicorn's gevent worker, with connections of our own: from TLS to the last byte, nothing waits for ever.

Every wait for a client has a deadline, and what is no HTTP request is answered with a problem in the place
of gunicorn's own HTML. A worker that has as many requests as it can answer in time says so at once, before
they cost anything. A stop waits for requests, and not for connections that are open and idle.
"""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from http import HTTPStatus
from types import FrameType
from typing import Any, Final

import gevent
from gevent.pool import Pool
from gunicorn.http import get_parser, wsgi
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, NoMoreData, ParseException
from gunicorn.util import close_graceful, http_date
from gunicorn.workers.ggevent import GeventWorker

from appliance.clock import now_ms
from appliance.errors import Refusal, malformed
from appliance.web.addresses import Addresses
from appliance.web.door import Address, Door, WaitedTooLong, Waiting
from appliance.web.headers import FIXED_LINES
from appliance.web.problems import format_bare_reply
from appliance.web.proxies import Proxies
from appliance.web.request import BODY_DEADLINE_S, MAX_BODY
from appliance.web.tally import Tally
from appliance.web.unreader import Unreader

log = logging.getLogger(__name__)

# For a connection's first request, header and all. Later ones have gunicorn's keepalive.
FIRST_REQUEST_S: Final = 10.0
# For a reply to be taken, however large; the longest has a few megabytes.
SEND_S: Final = 20.0
# For what is left of a body that nobody wanted; whoever sends more than this is not listened to.
DRAIN_S: Final = 5.0
_DRAIN_BYTES: Final = 2 * MAX_BODY
# Under way at a time. More than a worker answers in a second; the rest would only be answered later.
MAX_REQUESTS: Final = 512
# For whoever was told that he asks too often, before his next request is looked at.
PAUSE_S: Final = 2.0
# For a client to read its last reply, and close.
_LINGER_S: Final = 2.0
# For who connected while the worker was about to end.
_LAST_WAIT_S: Final = 1.0


class Worker(GeventWorker):  # type: ignore[misc, unused-ignore]
    """Serves connections. ``app`` is :class:`appliance.web.process.Server`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting = Waiting()
        # The same inside of a request: for more of its body, or for its reply to be taken.
        self._inside = Waiting()
        self._tally = Tally()
        self._busy = 0
        self._proxies = Proxies(self.app.trusted_proxies)

    def server_class(self, listener: Any, *, spawn: Pool, ssl_context: ssl.SSLContext, **_: object) -> Door:
        """Return the server for a listening socket; gunicorn asks for it as if this were a class."""
        name = listener.getsockname()
        return Door(
            listener,
            spawn,
            ssl_context,
            addresses=Addresses(self.app.limits, self.app.trusted_proxies),
            waiting=self._waiting,
            make_room=self._make_room,
            tally=self._tally,
            serve=lambda client, address: self._serve(name, client, address),
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more connections, and end once the requests that are there are answered (SIGTERM)."""
        super().handle_exit(sig, frame)
        self._waiting.end_all()

    def _make_room(self) -> None:
        """End a wait for a client, so that another may come: rather one that is in no request."""
        (self._waiting or self._inside).end_oldest()

    def _serve(self, name: Address, client: ssl.SSLSocket, address: Address) -> None:
        """Answer the requests of one connection, one after the other."""
        parser = get_parser(self.cfg, client, address)
        parser.unreader = unreader = Unreader(client)
        wait_s = FIRST_REQUEST_S
        try:
            while True:
                unreader.expect_header(True)
                with self._waiting.up_to(wait_s if self.alive else _LAST_WAIT_S):
                    request = next(parser)
                unreader.expect_header(False)
                if not self._answer(name, request, client, address):
                    break
                with self._inside.up_to(2 * DRAIN_S):
                    drained = parser.finish_body(deadline=time.monotonic() + DRAIN_S, max_bytes=_DRAIN_BYTES)
                if not drained:
                    break
                wait_s = self.cfg.keepalive
            self._close(client)
        except (StopIteration, NoMoreData, WaitedTooLong):  # the connection ends without a word
            pass
        except OSError:  # so does one that the client broke; ssl.SSLError is one
            self._tally.count("broken connections", time.monotonic())
        except Exception as error:  # noqa: BLE001 - it is answered, and logged if it is not the client's fault
            self._give_up(client, error)

    def _answer(self, name: Address, request: Any, client: ssl.SSLSocket, address: Address) -> bool:
        """Answer one request; say whether the connection goes on."""
        if self._busy >= MAX_REQUESTS:
            return self._turn_away(request, client)
        self._busy += 1
        request.unreader.around = self._awaiting_body
        try:
            response, environ = wsgi.create(
                request, client, address, name, self.cfg, response_class=_Response
            )
            response.sock = reply = _Reply()
            if not self.alive:
                response.force_close()
            parts = self.wsgi(environ, response.start_response)
            try:
                for part in parts:
                    response.write(part)
                response.close()
            finally:
                if hasattr(parts, "close"):
                    parts.close()
        finally:
            request.unreader.around = nullcontext
            self._busy -= 1
        self._send(client, bytes(reply))
        goes_on = not response.should_close()
        one_caller = not self._proxies.has(address[0])
        if goes_on and one_caller and response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            with self._waiting.up_to(2 * PAUSE_S):
                gevent.sleep(PAUSE_S)
        return goes_on

    @contextmanager
    def _awaiting_body(self) -> Iterator[None]:
        """Wait for more of a body: no work, and to be ended when others need the room.

        That it does not come in time is for the application to say, which then still has an answer.
        """
        self._busy -= 1
        try:
            with self._inside.up_to(2 * BODY_DEADLINE_S):
                yield
        finally:
            self._busy += 1

    def _turn_away(self, request: Any, client: ssl.SSLSocket) -> bool:
        """Say that there are too many requests; to keep the connection costs less than its next handshake."""
        instance = uuid.uuid4()
        goes_on = self.alive and not request.should_close()
        self._tally.count("requests", time.monotonic())
        refusal = Refusal("overloaded", "too many requests are under way; try again", retry_after_s=1)
        self._send(client, format_bare_reply(refusal, instance, goes_on=goes_on))
        return goes_on

    def _give_up(self, client: ssl.SSLSocket, error: Exception) -> None:
        """Answer bytes that are no request, or a request that failed; the connection ends with that."""
        instance, refusal = uuid.uuid4(), refuse(error)
        if refusal.slug == "internal":
            log.error("request %s failed", instance, exc_info=error)
        else:
            log.info("no HTTP request: %.200r", error, extra={"request_id": str(instance)})
        try:
            self._send(client, format_bare_reply(refusal, instance, goes_on=False))
            self._close(client)
        except (OSError, WaitedTooLong) as lost:
            log.info("the client is gone: %s", lost)

    def _send(self, client: ssl.SSLSocket, reply: bytes) -> None:
        """Send a reply, in one piece and within the time there is for it."""
        with self._inside.up_to(SEND_S):
            client.sendall(reply)

    def _close(self, client: ssl.SSLSocket) -> None:
        """Close a connection so that the client can read its last reply: what it still sends is read."""
        with self._waiting.up_to(_LINGER_S):
            close_graceful(client, timeout=_LINGER_S)


class _Reply(bytearray):
    """Stands for the socket while a reply is put together, so that it leaves whole or not at all."""

    sendall = bytearray.extend


class _Response(wsgi.Response):  # type: ignore[misc, unused-ignore]
    """A reply that has the fields of every reply, and does not say what software made it."""

    def default_headers(self) -> list[str]:
        """Return the status line and the fields that are no view's affair."""
        version = "{}.{}".format(*self.req.version)
        lines = [
            f"HTTP/{version} {self.status}\r\n",
            f"Date: {_date(now_ms() // 1000)}\r\n",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n",
            FIXED_LINES,
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines


@lru_cache(maxsize=2)
def _date(now_s: int) -> str:
    date: str = http_date(now_s)
    return date


def refuse(error: BaseException) -> Refusal:
    """Return the refusal that stands for what kept bytes from becoming a request, or a reply from leaving."""
    if isinstance(error, LimitRequestLine | LimitRequestHeaders):
        return Refusal("too-large", "the request line, or a header field, or their number is over the limit")
    if isinstance(error, ParseException):
        return malformed("request", "expected HTTP/1.1 (RFC 9112)")
    return Refusal("internal", "the request failed; the log has the cause under this id")
