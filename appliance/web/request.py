"""A request on its way through the application: its body, read once, and what is known of it."""

from __future__ import annotations

import uuid
from typing import Any, Final, cast

import gevent
from flask import Request
from flask.globals import request as current
from gunicorn.http.errors import ParseException

from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.web.jsonbody import parse_object

MAX_BODY: Final = 1_048_576
# For all of it, however it trickles: whoever is slower than 100 kB a second with the longest body is stuck.
BODY_DEADLINE_S: Final = 10.0
_MEDIA_TYPE: Final = "application/json"


class StrictRequest(Request):
    """A request whose JSON is parsed strictly, whoever asks for it, and what the application knows of it.

    ``id`` is the name of the request in the log and in problems, ``began_s`` its beginning (perf_counter),
    ``refused`` the slug of the problem that answers it.
    """

    id: uuid.UUID
    began_s: float = 0.0
    identity: Identity | None = None
    refused: str = ""
    raw_body: bytes = b""
    max_content_length = MAX_BODY
    max_form_memory_size = 0

    def field(self, name: str) -> str | None:
        """Return a header field by its name in CGI (``IDEMPOTENCY_KEY``), several joined by commas, or None.

        Werkzeug's own look-up makes an exception inside for each field that is not there, as most are not.
        """
        return self.environ.get(f"HTTP_{name}")

    def get_json(self, *_: object, **__: object) -> Any:
        """Return the body's object.

        Raises:
            Refusal: ``unsupported-media-type``, ``too-large`` or ``malformed-request``.
        """
        if self.mimetype != _MEDIA_TYPE:
            got = repr(self.mimetype[:80]) if self.mimetype else "none"
            detail = f"takes a body of {_MEDIA_TYPE}, got {got}: /docs says what is in it"
            raise Refusal("unsupported-media-type", detail)
        self.raw_body = self._read()
        return parse_object(self.raw_body)

    def _read(self) -> bytes:
        """Read the body from the server itself, which knows where it ends."""
        # What Content-Length says is checked by gunicorn; one that is too long is not read at all.
        if (self.content_length or 0) > MAX_BODY:
            raise _too_large()
        deadline = gevent.Timeout(BODY_DEADLINE_S)
        try:
            with deadline:
                raw: bytes = self.environ["wsgi.input"].read(MAX_BODY + 1)
        except gevent.Timeout as expired:
            if expired is not deadline:
                raise
            raise malformed("body", f"did not arrive within {BODY_DEADLINE_S:.0f} s") from expired
        except ParseException as error:  # gunicorn reads chunks only when they are asked for
            raise malformed("body", "its chunks are not as RFC 9112 §7.1 has them") from error
        if len(raw) > MAX_BODY:
            raise _too_large()
        return raw


def _too_large() -> Refusal:
    return Refusal("too-large", f"the body is longer than {MAX_BODY} bytes")


def current_request() -> StrictRequest:
    """Return the request that is being answered, once and for all: each look at Flask's proxy costs."""
    return cast(StrictRequest, cast(Any, current)._get_current_object())
