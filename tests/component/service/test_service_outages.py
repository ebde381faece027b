"""A real service whose providers are down, or asked for more than they can answer: who is stopped by it."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from appliance.identity.ldap_directory import PAUSE_MS
from support.directory import PASSWORD, Directory, person, person_dn, running_directory
from support.openid import OpenIdProvider, fetch_token, running_provider
from support.service import (
    HOST,
    POLICY,
    ClientCa,
    Reply,
    Service,
    another_web_tier,
    make_service,
)

GRANT = """
[[grant]]
name = "people"
who = {{ groups = ["ldap:dba"], users = ["oidc:ada", "ldap:frank"] }}
on = ["web"]
as = ["deploy"]
ttl = "1h"
"""
WISH = {
    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJacmuRzWoMr/iyiJkPXJamPrJgj0yYK1zXyHneiTbzR",
    "logins": ["deploy"],
}
LOCKED = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"


@dataclass(slots=True, kw_only=True)
class Site:
    """A service and its identity providers, which the tests stop and start."""

    service: Service
    provider: OpenIdProvider
    provider_runs: ExitStack
    directory: Directory
    clients: ClientCa

    def log_in(self, name: str) -> Reply:
        body = {"provider": "ldap", "username": name, "password": PASSWORD}
        return self.service.http("POST", "/v1/sessions", body)

    def session(self, name: str) -> str:
        reply = self.log_in(name)
        assert reply.status == 201, reply.body
        credential: str = reply.json["credential"]
        return credential

    def ask_at_once(self, count: int, credential: str) -> Counter[int]:
        """Ask for so many certificates at the same time, each on a connection of its own."""
        context = ssl.create_default_context(cafile=str(self.service.data / "tls" / "server.pem"))
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
        open_ = [
            http.client.HTTPSConnection("127.0.0.1", self.service.port, context=context, timeout=60)
            for _ in range(count)
        ]
        for each in open_:
            each.connect()
        for each in open_:
            each.request("POST", "/v1/certificates/user", json.dumps(WISH), headers)
        found = Counter(each.getresponse().status for each in open_)
        for each in open_:
            each.close()
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("outages")
    slapd = scratch / "slapd"
    slapd.mkdir()
    with ExitStack() as provider_runs, running_directory(slapd) as directory:
        provider = provider_runs.enter_context(running_provider(scratch))
        service = make_service(scratch, POLICY + GRANT)
        config = service.data / "chancery.toml"
        config.write_text(config.read_text() + provider.settings() + directory.settings(cache_s=0))
        clients = ClientCa(scratch)
        with service.running(CHANCERY_SERVICE_WORKERS="1", CHANCERY_TLS_CLIENTS=str(clients.path)):
            service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
            yield Site(
                service=service,
                provider=provider,
                provider_runs=provider_runs,
                directory=directory,
                clients=clients,
            )


def test_account_that_was_closed_gets_nothing_by_asking_often_at_once(site: Site) -> None:
    site.directory.change(person("frank"))
    session = site.session("frank")
    assert site.ask_at_once(1, session) == {201: 1}
    site.directory.change(f"dn: {person_dn('frank')}\n{LOCKED}")
    assert site.ask_at_once(120, session) == {401: 120}


def test_providers_that_are_down_stop_new_logins_and_nothing_else(site: Site) -> None:
    service, client = site.service, site.clients.issue("alice", names=("alice",))
    session, token = site.session("ada"), fetch_token(site.provider)
    assert service.http("GET", "/v1/whoami", credential=token).json["identity"] == "oidc:ada"
    credentials = [service.credential(name) for name in ("alice", "carol", "dave")]
    site.provider_runs.close()
    site.directory.stop()
    try:
        login = site.log_in("ada")
        assert (login.slug, login.headers["retry-after"]) == ("identity-unavailable", "10")
        with another_web_tier(service, stderr=subprocess.DEVNULL, CHANCERY_SERVICE_WORKERS="1") as (new, _):
            new.await_ready()
            first = new.http("GET", "/v1/whoami", credential=token)
            assert first.slug == "identity-unavailable", "a tier that has never asked the provider"
            assert new.http("GET", "/v1/whoami", credential=credentials[0]).status == 200
        wishes = "POST", "/v1/certificates/user", WISH
        for shown in (session, token, credentials[0]):
            reply = service.http(*wishes, credential=shown)
            assert reply.status == 201, reply.body
        assert service.http(*wishes, client=client).status == 201
        assert service.http("GET", "/v1/certificates", credential=credentials[2]).status == 200
        serial = service.http(*wishes, credential=session).json["certificates"][0]["serial"]
        revoked = service.http(
            "POST", "/v1/revocations", {"serial": serial, "reason": "lost"}, credential=credentials[1]
        )
        assert revoked.status == 201, revoked.body
        assert service.http("GET", "/v1/krl/acme-users").status == 200
        assert service.probe("/readyz").status == 200
    finally:
        site.directory.start()
    time.sleep(PAUSE_MS / 1000)
    assert site.log_in("bob").status == 201
    assert service.http("GET", "/v1/whoami", credential=session).json["groups"] == [
        *("ldap:dba", "ldap:engineers", "ldap:staff")
    ]
