"""The composition root of a worker: everything is built here, once, and handed down."""

from __future__ import annotations

import time

from flask import Flask

from appliance.alarms.positions import FILE_NAME
from appliance.authority.transport.client import AuthorityClient
from appliance.clock import now_ms
from appliance.config import Config
from appliance.identity.providers import build_providers
from appliance.index.queries import Index
from appliance.web.addresses import Addresses
from appliance.web.apart import Apart
from appliance.web.app import create_app
from appliance.web.health import HealthApp
from appliance.web.logins import Logins
from appliance.web.metrics import Metrics
from appliance.web.proxies import Proxies
from appliance.web.services import Services
from appliance.web.slowing import SlowingAuthenticator
from audit.tiles import TileReader


def build_app(config: Config, session_key: bytes) -> Flask:
    """Build the application; ``session_key`` seals sessions, and is the same in all workers."""
    index, addresses = Index(config.index), Addresses(config.limits, config.service.trusted_proxies)
    providers = build_providers(config, key=session_key, now_ms=now_ms, clock_s=time.monotonic, apart=Apart())
    services = Services(
        authority=AuthorityClient(config.authority_socket),
        index=index,
        tiles=TileReader(config.tiles),
        logins=Logins(providers, addresses, clock_s=time.monotonic),
        now_ms=now_ms,
    )
    authenticator = SlowingAuthenticator(index, addresses, providers, now_ms=now_ms, clock_s=time.monotonic)
    return create_app(services, authenticator, Metrics(), Proxies(config.service.trusted_proxies))


def build_health(config: Config) -> HealthApp:
    """Build what answers on the health socket."""
    positions = config.index_directory / FILE_NAME
    return HealthApp(AuthorityClient(config.authority_socket), Index(config.index), positions)
