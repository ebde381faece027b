"""The keys of an OpenID provider: found by discovery, kept a while, and fetched anew when one is unknown.

OpenID Connect Discovery 1.0 §4, RFC 7517. What a provider no longer shows is no longer believed as soon as it
is asked again: at the latest when what is kept is :data:`FRESH_S` old. A provider that does not answer does
not stop those who show tokens of known keys, for up to :data:`STALE_S`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from appliance.identity.errors import InvalidCredential, ProviderUnavailable

log = logging.getLogger(__name__)

FRESH_S: Final = 600.0
STALE_S: Final = 86_400.0
# A token with a key id that nobody knows makes the provider be asked; not more often than this.
REFETCH_S: Final = 30.0
# While one asks, others with a key that nobody knows wait for it no longer than this: anyone can be one.
WAIT_S: Final = 1.0
MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2_048
_DISCOVERY: Final = "/.well-known/openid-configuration"

Key = RSAKey | ECKey | OKPKey
Fetch = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys that a provider showed at ``fetched_s``; ``version`` changes when they do."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    fetched_s: float
    version: int = 0


class KeyCache:
    """Keeps the keys of one provider. ``clock_s`` is monotonic. Thread-safe."""

    def __init__(
        self, issuer: str, fetch: Fetch, *, clock_s: Callable[[], float], jwks_uri: str | None = None
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock_s = clock_s
        self._jwks_uri = jwks_uri
        self._keys: Keys | None = None
        self._asked_s = float("-inf")
        self._trouble: str | None = None
        self._lock = threading.Lock()

    def find(self, key_id: str) -> tuple[Key, int]:
        """Return the key called ``key_id``, and the version of the keys that it is one of.

        Raises:
            InvalidCredential: the provider has no such key.
            ProviderUnavailable: it cannot be asked, and what is kept does not say.
        """
        keys = self.current()
        if key_id not in keys.by_id:
            keys = self._refresh(keys)
        if key_id not in keys.by_id and self._trouble is not None:  # it may be a new one
            raise ProviderUnavailable(f"{self._issuer}: {self._trouble}")
        if key_id not in keys.by_id:
            raise InvalidCredential(f"{self._issuer} has no key {key_id[:80]!r}")
        return keys.by_id[key_id], keys.version

    def current(self) -> Keys:
        """Return what is kept, asked for anew when it is no longer fresh.

        Raises:
            ProviderUnavailable: nothing is kept that could still be used, and the provider does not answer.
        """
        keys = self._keys
        if keys is None or self._clock_s() - keys.fetched_s > STALE_S:
            return self._refresh(keys)
        if self._clock_s() - keys.fetched_s < FRESH_S or not self._lock.acquire(blocking=False):
            return keys  # while one asks, nobody else waits for the answer
        try:
            return self._ask_again(keys)
        finally:
            self._lock.release()

    def _refresh(self, known: Keys | None) -> Keys:
        """Have the provider asked, and wait for it; only for a moment if another asks already."""
        if not self._lock.acquire(timeout=WAIT_S):
            raise ProviderUnavailable(f"{self._issuer}: it has been asked, and has not answered yet")
        try:
            return self._ask_again(known)
        finally:
            self._lock.release()

    def _ask_again(self, known: Keys | None) -> Keys:
        """Ask the provider, unless another caller or a moment ago has done so."""
        kept, now_s = self._keys, self._clock_s()
        if kept is not None and kept is not known:
            return kept
        if now_s - self._asked_s < REFETCH_S:
            return self._still_good(kept, now_s, "it did not answer a moment ago")
        self._asked_s = now_s
        try:
            found = self._ask()
        except ProviderUnavailable as error:
            log.warning("identity provider: %s", error)
            self._trouble = str(error)
            return self._still_good(kept, now_s, str(error))
        version = 1 if kept is None else kept.version + _differ(kept.by_id, found)
        self._keys, self._trouble = Keys(by_id=found, fetched_s=now_s, version=version), None
        return self._keys

    def _still_good(self, kept: Keys | None, now_s: float, why: str) -> Keys:
        if kept is None or now_s - kept.fetched_s > STALE_S:
            raise ProviderUnavailable(f"{self._issuer}: {why}")
        return kept

    def _ask(self) -> dict[str, Key]:
        uri = self._jwks_uri or discover(self._issuer, self._fetch).get("jwks_uri")
        if not isinstance(uri, str):
            raise ProviderUnavailable(f"{self._issuer}: its discovery document names no jwks_uri")
        return parse_keys(self._fetch(uri))


def discover(issuer: str, fetch: Fetch) -> Mapping[str, Any]:
    """Fetch the provider's discovery document, which must be its own (§4.3).

    Raises:
        ProviderUnavailable: there is none, or it is another issuer's.
    """
    document = fetch(issuer.rstrip("/") + _DISCOVERY)
    if document.get("issuer") != issuer:
        said = str(document.get("issuer"))[:200]
        raise ProviderUnavailable(f"{issuer}: its discovery document is that of {said}")
    return document


def parse_keys(document: Mapping[str, Any]) -> dict[str, Key]:
    """Parse a JWK set: the public keys for signatures in it, by their ids (RFC 7517 §5).

    A key that is no use to us, of an unknown kind or too weak, is left out as the standard asks.

    Raises:
        ProviderUnavailable: it is no such set, or one beyond all bounds.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ProviderUnavailable(f"expected a JWK set of at most {MAX_KEYS} keys")
    found: dict[str, Key] = {}
    for each in listed:
        key_id = each.get("kid") if isinstance(each, dict) else None
        if isinstance(key_id, str) and (key := _parse_key(each)) is not None:
            found[key_id] = key
    return found


def _parse_key(members: Mapping[str, Any]) -> Key | None:
    operations = members.get("key_ops", ["verify"])
    if members.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    # Weak by its length already: joserfc would take it, with a warning.
    if members.get("kty") == "RSA" and len(str(members.get("n"))) < MIN_RSA_BITS // 6:
        return None
    try:
        key = import_key(dict(members))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.info("a provider's key %.80r is left out: %s", members.get("kid"), error)
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size >= MIN_RSA_BITS:
        return key
    return key if isinstance(key, ECKey | OKPKey) else None


def _differ(before: Mapping[str, Key], after: Mapping[str, Key]) -> bool:
    """Say whether keys came or went; one that is another under the same id counts as both."""
    return {name: key.thumbprint() for name, key in before.items()} != {
        name: key.thumbprint() for name, key in after.items()
    }
