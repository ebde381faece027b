"""Tokens of OpenID providers: a JWT in, an identity out. People's ID tokens and workloads' tokens alike.

A token is shown with every request and is verified once: what it stands for is kept by its SHA-256 until it
ends, or until its provider's keys change.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jws import deserialize_compact

from appliance.identity.claims import audiences_of, check_addressee, check_times, identify
from appliance.identity.errors import InvalidCredential
from appliance.identity.identity import Identity
from appliance.identity.jwt import parse_object, parse_unverified
from appliance.identity.oidc_keys import Key, KeyCache
from appliance.identity.settings import OidcTable

# More than any header of a request may be (appliance/web/process.py).
MAX_TOKEN: Final = 8_192
_MAX_KEPT: Final = 4_096
# Others that a provider signs, such as access and logout tokens, say so (RFC 8725 §3.11).
_TYPES: Final = frozenset({"jwt"})


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a token was found to stand for, until it ends; ``version`` of the keys it was verified with."""

    identity: Identity
    ends_s: int
    provider: OidcProvider
    version: int


class OidcProvider:
    """Verifies the tokens of one provider."""

    def __init__(self, settings: OidcTable, keys: KeyCache) -> None:
        self.settings = settings
        self.keys = keys

    def verify(self, token: str, header: Mapping[str, Any], now_s: int) -> tuple[Identity, int, int]:
        """Verify a token; return whom it identifies, when it ends, and the version of the keys.

        1. It is no token of another kind, and its algorithm is one that the configuration allows: never none,
           never one with a shared secret.
        2. The provider has the key that it names, and that key made the signature over these bytes.
        3. It is from this issuer and for us.
        4. It has begun and not ended.
        5. Its claims name a subject.

        Raises:
            InvalidCredential: one of these is not so.
            ProviderUnavailable: the provider's keys are not known.
        """
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self.settings.algorithms or not isinstance(key_id, str):
            raise InvalidCredential(f"algorithm {str(algorithm)[:20]!r} with key {str(key_id)[:80]!r}")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise InvalidCredential(f"a token of the type {str(header.get('typ'))[:40]!r}")
        key, version = self.keys.find(key_id)
        claims = parse_object(_verify_signature(token, key, str(algorithm)))
        check_addressee(claims, self.settings)
        ends_s = check_times(claims, self.settings, now_s)
        return identify(claims, self.settings), ends_s, version


class Tokens:
    """Verifies tokens of all providers, and remembers those that were valid. Thread-safe."""

    def __init__(self, providers: tuple[OidcProvider, ...], *, now_ms: Callable[[], int]) -> None:
        self._providers = {(each.settings.issuer, each.settings.audience): each for each in providers}
        self._now_ms = now_ms
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def identify(self, token: str) -> Identity:
        """Return whom a token identifies.

        Raises:
            InvalidCredential: nobody.
            ProviderUnavailable: its provider's keys are not known.
        """
        if len(token) > MAX_TOKEN:
            raise InvalidCredential(f"a token of {len(token)} characters")
        digest, now_s = hashlib.sha256(token.encode()).digest(), self._now_ms() // 1000
        with self._lock:
            kept = self._kept.get(digest)
        if kept is not None and now_s < kept.ends_s and kept.version == kept.provider.keys.current().version:
            return kept.identity
        header, claims = parse_unverified(token)
        provider = self._choose(claims)
        identity, ends_s, version = provider.verify(token, header, now_s)
        with self._lock:
            self._kept[digest] = _Kept(identity, ends_s, provider, version)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return identity

    def _choose(self, claims: Mapping[str, Any]) -> OidcProvider:
        """Choose by what the token says of itself, which the chosen provider then has to confirm."""
        for audience in audiences_of(claims):
            if (found := self._providers.get((str(claims.get("iss")), audience))) is not None:
                return found
        raise InvalidCredential(f"a token of {str(claims.get('iss'))[:200]!r} for nobody that is known")


def _verify_signature(token: str, key: Key, algorithm: str) -> bytes:
    try:
        return deserialize_compact(token, key, algorithms=[algorithm]).payload
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidCredential(f"its signature: {type(error).__name__}: {error}") from error
