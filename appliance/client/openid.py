"""Logging in at an OpenID provider from a command line: with a browser here, or with one elsewhere.

The authorization code flow with PKCE and a loopback redirect (RFC 8252, RFC 7636, OpenID Connect Core §3.1),
and the device flow (RFC 8628). What comes of both is an ID token. Its signature is the service's to verify;
here is checked that it answers the request that was made (``nonce``), as only who asked can.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from appliance.client.loopback import Callback
from appliance.errors import ConfigError
from appliance.identity.fetching import get_json, post_form
from appliance.identity.jwt import parse_unverified

_DISCOVERY: Final = "/.well-known/openid-configuration"
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_DEFAULT_INTERVAL_S: Final = 5
_MAX_DEVICE_S: Final = 1_800
_NO_MOMENT_S: Final = 253_402_300_800  # the year 10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the service says of a provider; ``secret`` is what some demand of programs that can keep none."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    context: ssl.SSLContext
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An ID token, and when it ends."""

    text: str
    ends_s: int


def log_in_with_browser(
    client: Client, show: Callable[[str], None], *, port: int = 0, again: bool = False
) -> Token:
    """Log in with a browser on this machine; ``show`` gets the URL to open, ``port`` is the redirect's.

    ``again``: the person is to show who he is, although the browser is logged in already (OpenID Connect Core
    §3.1.2.1), so that it counts for ``max_auth_age``.

    Raises:
        ConfigError: nobody logged in, or the provider refused.
        ProviderUnavailable: it cannot be asked.
    """
    document = _discover(client)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with Callback(state, port) as callback:
        asked = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": callback.redirect_uri,
            "scope": " ".join(client.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login"} if again else {}),
        }
        show(_add_query(_endpoint(document, "authorization_endpoint"), asked))
        answer = callback.wait()
    if "code" not in answer or answer.get("iss", client.issuer) != client.issuer:  # RFC 9207
        raise ConfigError(f"the provider refused: {_describe(answer)}")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": callback.redirect_uri,
        "code_verifier": verifier,
    }
    found = post_form(_endpoint(document, "token_endpoint"), _with_client(client, form), client.context)
    return _take(found.members, nonce)


def log_in_with_device(client: Client, show: Callable[[str, str], None]) -> Token:
    """Log in with a browser elsewhere; ``show`` gets the URL to open there, and the code to type in.

    Raises:
        ConfigError: nobody logged in, or the provider refused.
        ProviderUnavailable: it cannot be asked.
    """
    document = _discover(client)
    form = _with_client(client, {"scope": " ".join(client.scopes)})
    begun = post_form(_endpoint(document, "device_authorization_endpoint"), form, client.context).members
    if not isinstance(begun.get("device_code"), str):
        raise ConfigError(f"the provider refused: {_describe(begun)}")
    complete = begun.get("verification_uri_complete", begun.get("verification_uri"))
    show(str(complete), str(begun.get("user_code")))
    interval_s = _seconds(begun, "interval", _DEFAULT_INTERVAL_S)
    end = time.monotonic() + _seconds(begun, "expires_in", _MAX_DEVICE_S)
    form = _with_client(client, {"grant_type": _DEVICE_GRANT, "device_code": str(begun["device_code"])})
    while time.monotonic() < end:
        time.sleep(interval_s)
        answer = post_form(_endpoint(document, "token_endpoint"), form, client.context).members
        error = answer.get("error")
        if error == "slow_down":
            interval_s += _DEFAULT_INTERVAL_S  # RFC 8628 §3.5
        elif error != "authorization_pending":
            return _take(answer, None)
    raise ConfigError("nobody logged in before the code ended")


def _discover(client: Client) -> Mapping[str, Any]:
    document = get_json(client.issuer.rstrip("/") + _DISCOVERY, client.context)
    if document.get("issuer") != client.issuer:
        raise ConfigError(f"{client.issuer}: its discovery document is another issuer's")
    return document


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not url.startswith("https://"):
        raise ConfigError(f"the provider has no {name}: it does not offer this way to log in")
    return url


def _add_query(url: str, asked: Mapping[str, str]) -> str:
    """Add to a URL's query, which an endpoint may have already (RFC 6749 §3.1)."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"


def _with_client(client: Client, form: Mapping[str, str]) -> dict[str, str]:
    secret = {} if client.secret is None else {"client_secret": client.secret}
    return {**form, "client_id": client.client_id, **secret}


def _take(answer: Mapping[str, Any], nonce: str | None) -> Token:
    """Take the ID token out of an answer of the token endpoint."""
    text = answer.get("id_token")
    if not isinstance(text, str):
        raise ConfigError(f"the provider gave no ID token: {_describe(answer)}")
    _, claims = parse_unverified(text)
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise ConfigError("the ID token answers another request (nonce); log in again")
    ends_s = claims.get("exp")
    if not isinstance(ends_s, int | float) or not 0 < ends_s < _NO_MOMENT_S:
        raise ConfigError("the ID token does not say when it ends")
    return Token(text, int(ends_s))


def _describe(answer: Mapping[str, Any]) -> str:
    said = [str(answer[name])[:300] for name in ("error", "error_description") if name in answer]
    return ": ".join(said) or "it does not say why"


def _seconds(members: Mapping[str, Any], name: str, default: int) -> int:
    value = members.get(name, default)
    return min(max(value, 1), _MAX_DEVICE_S) if isinstance(value, int) else default
