"""The service with a real OpenID provider and a real slapd: tokens, sessions, and providers that are down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.directory import PASSWORD, Directory, person, running_directory
from support.openid import CLIENT, OpenIdProvider, fetch_token, running_provider
from support.service import HOST, POLICY, Service, make_service

GRANTS = """
[[group]]
name = "dbas"
members = ["oidc:ada"]
[[grant]]
name = "by-token"
who = {{ groups = ["oidc:dba"] }}
on = ["db"]
as = ["postgres"]
ttl = "1h"
require = {{ mfa = true }}
[[grant]]
name = "by-password"
who = {{ groups = ["ldap:dba", "ldap:staff"] }}
on = ["web"]
as = ["deploy"]
ttl = "1h"
"""
DELEGATED = """
[[grant]]
name = "through-the-portal"
who = {{ groups = ["ldap:dba"] }}
on = ["db"]
as = ["postgres", "report"]
ttl = "1h"
delegates = ["api:portal"]
[[grant]]
name = "in-person"
who = {{ groups = ["ldap:dba"] }}
on = ["db"]
as = ["root"]
ttl = "1h"
delegates = ["api:portal"]
require = {{ mfa = true }}
"""
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJacmuRzWoMr/iyiJkPXJamPrJgj0yYK1zXyHneiTbzR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A service and its identity providers."""

    service: Service
    provider: OpenIdProvider
    directory: Directory

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        body = {"provider": "ldap", "username": name, "password": password}
        return self.service.http("POST", "/v1/sessions", body)

    def session(self, name: str) -> str:
        reply = self.log_in(name)
        assert reply.status == 201, reply.body
        credential: str = reply.json["credential"]
        return credential

    def whoami(self, credential: str) -> Any:
        return self.service.http("GET", "/v1/whoami", credential=credential)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("providers")
    slapd = scratch / "slapd"
    slapd.mkdir()
    with running_provider(scratch) as provider, running_directory(slapd) as directory:
        service = make_service(scratch, POLICY + GRANTS + DELEGATED)
        config = service.data / "chancery.toml"
        config.write_text(config.read_text() + provider.settings(groups="groups") + directory.settings())
        with service.running(CHANCERY_SERVICE_WORKERS="2"):
            service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
            yield Site(service=service, provider=provider, directory=directory)


def intent_of(site: Site, serial: str) -> Any:
    return json.loads(site.service.entry(int(serial) & (2**48 - 1)))["data"]


def test_token_of_a_real_provider_obtains_what_its_groups_and_factors_allow(site: Site) -> None:
    token = fetch_token(site.provider)
    known = site.whoami(token).json
    assert (known["identity"], known["mfa"]) == ("oidc:ada", True)
    assert known["groups"] == ["oidc:dba", "oidc:staff"]
    reply = site.service.http("POST", "/v1/certificates/user", {"public_key": PUBLIC_KEY}, credential=token)
    assert reply.status == 201, reply.body
    (issued,) = reply.json["certificates"]
    assert issued["principals"] == ["postgres@db"]
    identity = intent_of(site, issued["serial"])["identity"]
    assert identity["groups"] == ["oidc:dba"]
    assert identity["claims"] == [
        {"name": "amr", "value": "mfa"},
        {"name": "iss", "value": site.provider.issuer},
    ]
    assert identity["mfa"] is True
    assert identity["source_address"] == "127.0.0.1"


def test_token_of_someone_in_other_groups_obtains_nothing(site: Site) -> None:
    token = fetch_token(site.provider, "bob")
    reply = site.service.http("POST", "/v1/certificates/user", {"public_key": PUBLIC_KEY}, credential=token)
    assert reply.slug == "policy-denied"


def test_token_that_was_tampered_with_identifies_nobody(site: Site) -> None:
    token = fetch_token(site.provider)
    head, claims, signature = token.split(".")
    for broken in (
        f"{head}.{claims}.",
        f"{head}.{claims}x.{signature}",
        f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
    ):
        assert site.whoami(broken).slug == "unauthenticated"


def test_session_of_a_password_obtains_what_the_directorys_groups_allow(site: Site) -> None:
    session = site.session("ada")
    wish = {"public_key": PUBLIC_KEY, "grant": "by-password"}
    reply = site.service.http("POST", "/v1/certificates/user", wish, credential=session)
    assert reply.status == 201, reply.body
    (issued,) = reply.json["certificates"]
    assert issued["principals"] == ["deploy@web"]
    assert intent_of(site, issued["serial"])["identity"]["groups"] == ["ldap:dba", "ldap:staff"]


def test_session_is_good_at_every_worker_and_no_other_text_is_one(site: Site) -> None:
    session = site.session("bob")
    assert {site.whoami(session).status for _ in range(12)} == {200}
    other = "B" if session[30] == "A" else "A"
    for broken in (session[:-1], session + "A", session[:30] + other + session[31:], "chancery-session1."):
        assert site.whoami(broken).slug == "unauthenticated"


def test_login_that_fails_says_nothing_more_and_its_password_is_nowhere(site: Site) -> None:
    secret = "Tr0ub4dor-and-3"
    answers = [site.log_in("bob", secret), site.log_in("nobody", secret)]
    assert {(each.slug, each.json["detail"]) for each in answers} == {
        ("unauthenticated", "the name or the password is not valid")
    }
    body = {"provider": "oidc", "username": "ada", "password": secret}
    assert site.service.http("POST", "/v1/sessions", body).slug == "unauthenticated"
    odd = {"provider": "ldap", "username": "ada", "password": [secret]}
    malformed = site.service.http("POST", "/v1/sessions", odd)
    assert malformed.json["field"] == "password"
    assert secret not in malformed.body.decode()
    assert secret not in site.service.log
    assert PASSWORD not in site.service.log


def test_passwords_for_one_name_are_tried_a_few_times_and_then_not_even_a_good_one(site: Site) -> None:
    site.directory.change(person("sprayed"))
    # Six at each of two workers, and one more for every ten seconds that this takes.
    answers = (site.log_in("sprayed", f"guess {number}") for number in range(60))
    last = next(each for each in answers if each.status != 401)
    assert last.slug == "rate-limited"
    assert int(last.headers["retry-after"]) <= 60
    assert site.log_in("ada").status == 201, "another name"


def test_doctor_and_status_show_each_provider(site: Site) -> None:
    findings = json.loads(site.service.cli("doctor", "--json", check=False).stdout)
    found = {each["detail"]: each["verdict"] for each in findings if each["check"] == "identity"}
    assert found == {
        f"oidc: OpenID provider {site.provider.issuer} answers": "ok",
        f"ldap: directory {site.directory.ldaps} answers": "ok",
    }
    status = json.loads(site.service.cli("status", "--json").stdout)
    assert [(each["name"], each["state"]) for each in status["identity"]] == [("oidc", "ok"), ("ldap", "ok")]
    assert re.search(r"identity +oidc \(OpenID provider https://.*\) ok", site.service.cli("status").stdout)


def test_anyone_may_ask_where_people_log_in(site: Site) -> None:
    reply = site.service.http("GET", "/v1/providers")
    assert reply.json == {
        "providers": [
            {
                "name": "oidc",
                "type": "oidc",
                "issuer": site.provider.issuer,
                "client_id": CLIENT,
                "scopes": ["openid"],
            },
            {"name": "ldap", "type": "ldap"},
        ]
    }


def ask_for_ada(site: Site, delegate: str, **more: object) -> Any:
    wish = {"public_key": PUBLIC_KEY, "on_behalf_of": "ldap:ada"} | more
    return site.service.http("POST", "/v1/certificates/user", wish, as_=delegate)


def test_delegate_obtains_what_the_directory_and_the_grants_give_the_person(site: Site) -> None:
    reply = ask_for_ada(site, "portal")
    assert reply.status == 201, reply.body
    (issued,) = reply.json["certificates"]
    assert issued["principals"] == ["postgres@db", "report@db"]
    assert issued["key_id"].startswith("ldap:ada#")
    intent = intent_of(site, issued["serial"])
    assert (intent["identity"]["subject"], intent["identity"]["groups"]) == ("portal", [])
    assert (intent["on_behalf_of"]["subject"], intent["on_behalf_of"]["groups"]) == ("ada", ["ldap:dba"])
    assert "on_behalf_of" not in intent["request"]
    shown = site.service.settled(f"/v1/certificates/{issued['serial']}", "dave")
    assert (shown["subject"], shown["on_behalf_of"]["provider"]) == ("ldap:ada", "ldap")


def test_delegate_does_not_obtain_what_the_person_would_have_to_be_there_for(site: Site) -> None:
    reply = ask_for_ada(site, "portal", grant="in-person")
    assert reply.slug == "policy-denied"
    assert ask_for_ada(site, "portal", grant="by-password").json["rule"] == "delegates"


def test_who_is_nobodys_delegate_is_told_nothing_of_the_directory(site: Site) -> None:
    answers = [ask_for_ada(site, "mallory", on_behalf_of=each) for each in ("ldap:ada", "ldap:nobody", "x:y")]
    assert {(each.slug, each.json["rule"]) for each in answers} == {("policy-denied", "delegates")}


@pytest.mark.parametrize("person", ["ldap:nobody", "ldap:ADA", "oidc:ada", "api:alice", "ada", ""])
def test_person_whom_no_directory_knows_is_nobody_to_ask_for(site: Site, person: str) -> None:
    reply = ask_for_ada(site, "portal", on_behalf_of=person)
    assert (reply.slug, reply.json["field"]) == ("malformed-request", "on_behalf_of")


def test_same_request_sent_again_by_a_delegate_is_answered_from_the_ledger(site: Site) -> None:
    wish = {"public_key": PUBLIC_KEY, "on_behalf_of": "ldap:ada"}
    again = {"Idempotency-Key": "once"}
    replies = [
        site.service.http("POST", "/v1/certificates/user", wish, as_="portal", headers=again)
        for _ in range(2)
    ]
    assert replies[0].json["certificates"] == replies[1].json["certificates"]


def test_nobody_asks_on_behalf_of_others_in_a_batch(site: Site) -> None:
    item = {"type": "user", "public_key": PUBLIC_KEY, "on_behalf_of": "ldap:ada"}
    portal = site.service.credential("portal", kind="service", uses=9)
    reply = site.service.http("POST", "/v1/certificates/batch", {"requests": [item]}, credential=portal)
    assert reply.json["outcomes"][0]["problem"]["field"] == "on_behalf_of"


def test_verifier_replays_what_delegates_asked_for_and_were_denied(site: Site) -> None:
    ask_for_ada(site, "portal")
    ask_for_ada(site, "portal", grant="in-person")
    verified = site.service.cli("ledger", "verify", "--json", check=False)
    assert json.loads(verified.stdout)["verdict"] != "tampered", verified.stdout
    assert json.loads(verified.stdout)["findings"] == []
