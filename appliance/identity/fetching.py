"""JSON over HTTPS from servers that are trusted with what they say, and with nothing else.

Every wait and every size has a bound. Redirects are not followed: who is configured is asked, nobody else.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from appliance.identity.errors import ProviderUnavailable

MAX_BYTES: Final = 262_144
TIMEOUT_S: Final = 5.0
# For all of an answer, however it trickles.
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
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        raise ProviderUnavailable(f"{url[:200]}: only https is spoken")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.request("GET" if body is None else "POST", target or "/", body=body, headers=headers)
        with connection.getresponse() as response:
            text = _read(response, url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProviderUnavailable(f"{url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    return Answer(response.status, _parse(text, url, response.status))


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    end = time.monotonic() + DEADLINE_S
    parts, size = [], 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise ProviderUnavailable(f"{url}: the answer is longer than {MAX_BYTES} bytes")
        if time.monotonic() > end:
            raise ProviderUnavailable(f"{url}: the answer took more than {DEADLINE_S:.0f} s")
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
