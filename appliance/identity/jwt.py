"""The form of a JWT (RFC 7519), which proves nothing: for choosing who is to verify it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from appliance.identity.errors import InvalidCredential


def is_token(text: str) -> bool:
    """Say whether a bearer credential has the look of a JWT: a JSON object in base64url, and two dots."""
    return text.startswith("eyJ") and text.count(".") == 2


def parse_unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a token's header and claims. NOT verified: for choosing who is to verify them.

    Raises:
        InvalidCredential: it is no token in form.
    """
    try:
        header, claims, _ = (_decode(part) for part in token.split("."))
    except (ValueError, binascii.Error) as error:
        raise InvalidCredential("it is no JWT in form") from error
    return parse_object(header), parse_object(claims)


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def parse_object(text: bytes) -> Mapping[str, Any]:
    """Parse a JSON object.

    Raises:
        InvalidCredential: it is none, or one with a member twice.
    """
    try:
        members = json.loads(text, object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError) as error:
        raise InvalidCredential("it is no JWT in form: expected JSON") from error
    if not isinstance(members, dict):
        raise InvalidCredential("it is no JWT in form: expected an object")
    return members


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with a member twice: of two readers each could believe another one (RFC 7519 §4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member is there twice")
    return found
