"""Request bodies: strict JSON, read once, refused with a reason.

Python's parser accepts what RFC 8259 leaves open and other parsers read differently: duplicate members, NaN,
lone surrogates. What two readers could understand in two ways is refused here.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from itertools import accumulate
from typing import Any, Final, NoReturn, cast

import gevent
from flask import Request
from flask.globals import request as current
from gunicorn.http.errors import ParseException

from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity

MAX_DEPTH: Final = 32
# No object of ours has as many members; objects with 100 000 would keep whoever checks them busy.
MAX_MEMBERS: Final = 64
# Beyond these integers readers differ (RFC 7493 §2.2), and the authority's socket has no form for them.
MAX_INTEGER: Final = 2**53 - 1
MAX_BODY: Final = 1_048_576
# For all of it, however it trickles: whoever is slower than 100 kB a second with the longest body is stuck.
BODY_DEADLINE_S: Final = 10.0
_MEDIA_TYPE: Final = "application/json"
# The closing quote is optional so that this always matches at once, also a string that never ends.
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKET: Final = re.compile(r"[^][{}]+")
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


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
            raise Refusal("unsupported-media-type", f"got {self.mimetype[:80]!r}, expected {_MEDIA_TYPE}")
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


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON text that must be an object.

    Raises:
        Refusal: ``malformed-request``.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("body", f"not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise malformed("body", f"not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:  # an integer of more than 4300 digits
        raise malformed("body", "not JSON that can be read") from error
    if not isinstance(value, dict):
        raise malformed("body", "expected an object")
    if "\\u" in text:  # the one way in which a surrogate can be in a text that was UTF-8
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise malformed("body", "has a lone surrogate") from error
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser meets it."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    deepest = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    if deepest > MAX_DEPTH:
        raise malformed("body", f"nested {deepest} deep, expected at most {MAX_DEPTH}")


def _refuse_constant(name: str) -> NoReturn:
    raise malformed("body", f"{name} is no JSON number")


def _parse_integer(digits: str) -> int:
    value = int(digits)
    if abs(value) > MAX_INTEGER:
        raise malformed("body", f"has an integer beyond {MAX_INTEGER}; write larger numbers as strings")
    return value


def _parse_number(digits: str) -> int:
    """Parse a number with a fraction or an exponent, which may be an integer all the same: 63.0 is 63."""
    value = float(digits)
    if not value.is_integer() or abs(value) > MAX_INTEGER:
        raise malformed("body", f"has the number {digits[:40]}; no member takes one that is no integer")
    return int(value)


def _build_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members) > MAX_MEMBERS:
        raise malformed("body", f"has an object of {len(members)} members, expected at most {MAX_MEMBERS}")
    built = dict(members)
    if len(built) != len(members):
        ((twice, _),) = Counter(name for name, _ in members).most_common(1)
        raise malformed("body", f"the member {twice[:80]!r} is there twice")
    return built


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_number,
    parse_constant=_refuse_constant,
    strict=True,
).decode
