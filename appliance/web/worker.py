"""Gunicorn's gevent worker, with problems in the place of its own HTML for what is no HTTP request."""

from __future__ import annotations

import contextlib
import logging
import ssl
import uuid
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from appliance.errors import Refusal, malformed
from appliance.web.problems import format_bare_reply

log = logging.getLogger(__name__)


class Worker(GeventWorker):  # type: ignore[misc, unused-ignore]
    """Answers what gunicorn's parser refuses as the application answers all else."""

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
