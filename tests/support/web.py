"""The web application without processes: no index and no authority behind it, or one that refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient

from appliance.authority.transport.client import AuthorityClient
from appliance.config import LimitsTable
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.identity.providers import Providers
from appliance.identity.sessions import KEY_BYTES, Sealer
from appliance.identity.settings import IdentityTable
from appliance.index.queries import Index
from appliance.web.addresses import Addresses
from appliance.web.app import create_app
from appliance.web.authentication import Authenticator
from appliance.web.logins import Logins
from appliance.web.metrics import Metrics
from appliance.web.proxies import Proxies
from appliance.web.request import StrictRequest
from appliance.web.services import Services
from audit.tiles import TileReader
from support.authority import NOW_MS, identity

NOWHERE: Final = Path("/nonexistent")
ALICE: Final = "Alice"


class Scripted(AuthorityClient):
    """An authority that does to each call what the test says: raise it, or return it."""

    def __init__(self, outcome: object) -> None:
        super().__init__(NOWHERE)
        self._outcome = outcome
        self.calls: list[tuple[str, dict[str, object]]] = []

    def call(self, op: str, *, timeout_s: float = 30, **args: object) -> Any:
        self.calls.append((op, args))
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class Named(Authenticator):
    """Believes who says in a header that he is alice."""

    def __init__(self) -> None:
        super().__init__(Index(NOWHERE), make_providers(), now_ms=lambda: NOW_MS)

    def identify(self, request: StrictRequest, *, repeats: bool = False) -> Identity | None:
        return identity() if request.field("FROM") == ALICE else None


def make_providers() -> Providers:
    """Return what identifies nobody: no provider is configured."""
    return Providers(
        IdentityTable(), oidc=(), directories={}, sealer=Sealer(bytes(KEY_BYTES)), now_ms=lambda: NOW_MS
    )


def make_app(outcome: object = None, proxies: Proxies | None = None) -> tuple[Flask, Scripted]:
    """Return an application and the authority behind it."""
    authority = Scripted(Refusal("internal", "not scripted") if outcome is None else outcome)
    services = Services(
        authority=authority,
        index=Index(NOWHERE),
        tiles=TileReader(NOWHERE),
        logins=Logins(make_providers(), Addresses(LimitsTable()), clock_s=lambda: 0.0),
        now_ms=lambda: NOW_MS,
    )
    return create_app(services, Named(), Metrics(), proxies), authority


def make_client(outcome: object = None) -> FlaskClient:
    """Return a client whose requests are alice's."""
    client = make_app(outcome)[0].test_client()
    client.environ_base["HTTP_FROM"] = ALICE
    return client
