"""A feed over HTTPS: one GET, few redirects, so many bytes and no more.

How long it may take as a whole is for the caller to bound: a socket's timeout is for one step of it only.
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Unreachable(OSError):
    """A feed that did not answer with a calendar. Says no address: those of calendars are often secret."""


def fetch(url: str, *, max_bytes: int, timeout_s: float, ca: str | None = None) -> bytes:
    """Return what a URL answers with; ``ca`` are certificates (PEM) to trust in place of the system's.

    Raises:
        Unreachable: it does not answer, or with an error, or with too much.
    """
    context = _make_context(ca)
    near = _is_loopback(check_url(url).hostname or "")
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url)
        if _is_loopback(parts.hostname or "") and not near:
            # What listens on this machine trusts whoever can reach it: nobody out there sends us to it.
            raise Unreachable("redirected to a loopback address")
        status, location, body = _get(parts, context, max_bytes, timeout_s)
        if status in _REDIRECTS and location:
            url = _follow(url, location)
        elif status != http.client.OK:
            raise Unreachable(f"answered with the status {status}")
        elif len(body) > max_bytes:
            raise Unreachable(f"answered with more than {max_bytes} bytes")
        else:
            return body
    raise Unreachable(f"redirected more than {MAX_REDIRECTS} times")


def check_url(url: str) -> SplitResult:
    """Check that a URL is one that feeds are fetched from: HTTPS, or on this machine HTTP.

    Raises:
        Unreachable: it is not.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise Unreachable("the URL is none") from error
    if parts.username is not None:
        raise Unreachable("expected a URL without user and password: they would not be sent")
    host = parts.hostname or ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise Unreachable("expected a URL with https, or with http on a loopback address")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise Unreachable("expected a URL of visible ASCII characters")
    return parts


def _make_context(ca: str | None) -> ssl.SSLContext:
    none = Unreachable("the certificates to trust (ca) are none: expected PEM")
    # Of a text without a certificate ssl would make: those of the system.
    if ca is not None and "-----BEGIN CERTIFICATE-----" not in ca:
        raise none
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise none from error


def _follow(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Unreachable("redirected to what is no URL") from error


def _get(
    parts: SplitResult, context: ssl.SSLContext, max_bytes: int, timeout_s: float
) -> tuple[int, str | None, bytes]:
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", target, headers={"Accept": "text/calendar", "User-Agent": "chancery"})
        answer = connection.getresponse()
        body, missing = answer.read(max_bytes + 1), answer.length
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"did not answer: {type(error).__name__}: {error}"[:200]) from error
    finally:
        connection.close()
    if missing and len(body) <= max_bytes:  # http.client is content with what came
        raise Unreachable(f"answered with {missing} bytes less than it said")
    return answer.status, answer.getheader("Location"), body


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
