"""JSON over HTTPS from servers that are trusted with what they say, and with nothing else.

Every wait and every size has a bound. Redirects are not followed: who is configured is asked, nobody else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from appliance.identity.errors import ProviderUnavailable

MAX_BYTES: Final = 262_144
TIMEOUT_S: Final = 5.0
# From the first byte of TLS to the last of an answer, however they trickle.
DEADLINE_S: Final = 10.0
_CHUNK: Final = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: a status, and a JSON object."""

    status: int
    members: Mapping[str, Any]


def make_context(ca: Path | None) -> ssl.SSLContext:
    """Return how servers are authenticated: by the system's CAs, and by those of ``ca``.

    Raises:
        ProviderUnavailable: the file cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        try:
            context.load_verify_locations(cafile=str(ca))
        except (OSError, ssl.SSLError) as error:
            raise ProviderUnavailable(f"{ca}: cannot be used as a file of CAs: {error}") from error
    return context


def get_json(url: str, context: ssl.SSLContext) -> Mapping[str, Any]:
    """Fetch a JSON object.

    Raises:
        ProviderUnavailable: no such answer came; says what did.
    """
    answer = _exchange(url, context, None)
    if answer.status != http.client.OK:
        raise ProviderUnavailable(
            f"{url}: answered {answer.status}, expected 200 (redirects are not followed)"
        )
    return answer.members


def post_form(url: str, form: Mapping[str, str], context: ssl.SSLContext) -> Answer:
    """Send a form (RFC 6749 appendix B); what is refused with a JSON object is an answer too.

    Raises:
        ProviderUnavailable: no answer came, or none that is JSON.
    """
    return _exchange(url, context, urlencode(form).encode("ascii"))


def _exchange(url: str, context: ssl.SSLContext, body: bytes | None) -> Answer:
    end_s = time.monotonic() + DEADLINE_S
    try:
        status, text = _ask(url, context, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _check_time(url, end_s)
        raise ProviderUnavailable(f"{url}: {type(error).__name__}: {error}") from error
    _check_time(url, end_s)
    return Answer(status, _parse(text, url, status))


def _ask(url: str, context: ssl.SSLContext, body: bytes | None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        raise ProviderUnavailable(f"{url[:200]}: only https is spoken")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    raw = socket.create_connection((connection.host, connection.port), timeout=TIMEOUT_S)
    with raw, _shut_after(raw, DEADLINE_S), contextlib.closing(connection):
        connection.sock = context.wrap_socket(raw, server_hostname=connection.host)
        connection.request("GET" if body is None else "POST", target or "/", body=body, headers=headers)
        with connection.getresponse() as response:
            return response.status, _read(response, url)


@contextlib.contextmanager
def _shut_after(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection after so long: a wait for each byte has an end, and that for all of them has none."""

    def shut() -> None:
        with contextlib.suppress(OSError):  # it ended by itself
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    with connection.dup() as same:  # that of TLS takes the descriptor away from the other
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _check_time(url: str, end_s: float) -> None:
    if time.monotonic() >= end_s:
        raise ProviderUnavailable(f"{url}: the answer took more than {DEADLINE_S:.0f} s")


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    parts, size = [], 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise ProviderUnavailable(f"{url}: the answer is longer than {MAX_BYTES} bytes")
    if response.length:
        raise ProviderUnavailable(f"{url}: the answer breaks off, {response.length} bytes before its end")
    return b"".join(parts)


def _parse(text: bytes, url: str, status: int) -> Mapping[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProviderUnavailable(f"{url}: answered {status}, and no JSON") from error
    if not isinstance(members, dict):
        raise ProviderUnavailable(f"{url}: answered {status}, expected a JSON object")
    return members
