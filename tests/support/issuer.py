"""An issuer of tokens under the test's control, honest or not: what a real provider would never send."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from appliance.identity.errors import ProviderUnavailable

ISSUER: Final = "https://login.example.org"
AUDIENCE: Final = "chancery"
_KINDS: Final[dict[str, Any]] = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


class Issuer:
    """Serves discovery and keys to a fetch function, and signs whatever it is told to."""

    def __init__(self, *algorithms: str) -> None:
        self.keys: dict[str, Key] = {}
        self.asked: list[str] = []
        self.down = False
        self.document: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        for algorithm in algorithms or ("ES256",):
            self.add(algorithm)

    def add(self, algorithm: str, key_id: str | None = None) -> None:
        self.keys[key_id or algorithm] = _KINDS[algorithm]()

    def fetch(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        if self.down:
            raise ProviderUnavailable(f"{url}: connection refused")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return self.document
        assert url == self.document["jwks_uri"]
        return {"keys": [key.as_dict(private=False) | {"kid": kid} for kid, key in self.keys.items()]}

    def sign(self, claims: Mapping[str, Any], algorithm: str = "ES256", key_id: str | None = None) -> str:
        """Sign claims as they are, with the key of that id."""
        header = {"alg": algorithm, "kid": key_id or algorithm, "typ": "JWT"}
        return sign_with(self.keys[key_id or algorithm], header, claims)


def sign_with(key: Key, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Sign with any key under any header."""
    text: str = jws.serialize_compact(dict(header), json.dumps(claims), key, algorithms=[header["alg"]])
    return text


def sign_with_public_key(public_pem: bytes, claims: Mapping[str, Any], key_id: str) -> str:
    """Sign by HMAC with a public key as the secret: what a verifier that believes `alg` takes for signed."""
    signed = f"{encode({'alg': 'HS256', 'kid': key_id})}.{encode(claims)}"
    return f"{signed}.{encode_bytes(hmac.digest(public_pem, signed.encode(), 'sha256'))}"


def unsigned(claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """Return a token without a signature."""
    return f"{encode(header)}.{encode(claims)}."


def encode(value: object) -> str:
    return encode_bytes(json.dumps(value).encode())


def encode_bytes(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(now_s: int, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token of ada's; None leaves one out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": now_s - 10,
        "exp": now_s + 600,
        "auth_time": now_s - 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}
