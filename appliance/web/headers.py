"""The header fields that every reply carries, whoever makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Those that no view has a say in, as they stand in a reply. The connection writes them and not the
# application, for which each field of each reply costs some 5 µs.
FIXED_LINES: Final = "".join(f"{name}: {HEADERS[name]}\r\n" for name in HEADERS if name != "Cache-Control")
# Of the health socket, which has no TLS and is for no browser.
PLAIN_HEADERS: Final[Mapping[str, str]] = {
    name: HEADERS[name] for name in ("Cache-Control", "Content-Security-Policy", "X-Content-Type-Options")
}
