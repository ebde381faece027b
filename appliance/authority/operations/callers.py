"""Who asks: on the admin socket the peer himself, elsewhere whom the web tier names."""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from appliance.authority.operations.parts import Parts
from appliance.authority.transport.server import Peer
from appliance.errors import malformed
from appliance.identity.identity import PROVIDER, Identity, is_subject
from appliance.requests import HostRequest, UserRequest

MAX_TEXTS: Final = 1_000
MAX_TEXT: Final = 1_024


def find_caller(parts: Parts, peer: Peer, args: Mapping[str, Any]) -> Identity:
    """Return the identity of whoever asks; on the admin socket nobody speaks for others.

    Raises:
        Refusal: ``malformed-request``.
    """
    if peer.local:
        return local_identity(peer.uid, parts.now_ms())
    try:
        identity = Identity.from_data(args.get("identity"))
    except ValidationError as error:
        raise malformed("identity", "expected an identity as the web tier makes it") from error
    return check_identity(identity)


def find_grantee(named: object, request: UserRequest | HostRequest, *, local: bool) -> Identity | None:
    """Return on whose behalf somebody asks, whom the web tier has looked up in a directory; None is nobody.

    Raises:
        Refusal: ``malformed-request``.
    """
    if named is None:
        return None
    if local or isinstance(request, HostRequest):
        raise malformed("on_behalf_of", "only the web tier asks on behalf of others, and not for hosts")
    try:
        return check_identity(Identity.from_data(named))
    except ValidationError as error:
        raise malformed("on_behalf_of", "expected an identity as the web tier makes it") from error


def check_identity(identity: Identity) -> Identity:
    """Check an identity that the web tier names, and return it: much is remembered by identity.

    Raises:
        Refusal: ``malformed-request``; it is larger than any that a provider gives, or oddly named.
    """
    texts = [*identity.groups, *(text for claim in identity.claims for text in claim)]
    if (
        PROVIDER.fullmatch(identity.provider) is None
        or not all(_is_group(group) for group in identity.groups)
        or not is_subject(identity.subject)
        or len(texts) > MAX_TEXTS
        or max(map(len, [*texts, identity.source_address or ""])) > MAX_TEXT
    ):
        raise malformed("identity", f"expected provider:subject, and at most {MAX_TEXTS} groups and claims")
    return identity


def _is_group(name: str) -> bool:
    provider, _, group = name.partition(":")
    return PROVIDER.fullmatch(provider) is not None and is_subject(group)


def local_identity(uid: int, now_ms: int) -> Identity:
    """Return the identity of a local user: what the kernel says, and no power by itself."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Identity(provider="local", subject=name, kind="user", authenticated_ms=now_ms)
