"""Explanations over HTTP and at the terminal: anyone about himself, auditors about all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

import pytest

from appliance.clock import format_rfc3339_ms
from support.orders import give_credentials
from support.service import HOST, POLICY, Service, make_service


def test_caller_is_told_what_his_own_grants_say(service: Service) -> None:
    explained = service.http("GET", f"/v1/access/explain?host={HOST}&login=root", as_="bob").json
    assert explained["subject"] == "api:bob"
    (grant,) = explained["grants"]
    assert (grant["name"], grant["verdict"], grant["principals"]) == ("deploy", "gives", ["root@web"])
    assert grant["valid_before"] > explained["at"]


def test_caller_is_not_told_about_others(service: Service) -> None:
    for query in ("subject=api:alice", "groups=oidc:admins"):
        reply = service.http("GET", f"/v1/access/explain?{query}", as_="bob")
        assert (reply.status, reply.slug) == (403, "policy-denied")


def test_auditor_is_told_about_anyone_and_why_not(service: Service) -> None:
    explained = service.http(
        "GET", f"/v1/access/explain?subject=api:eve&host={HOST}&login=root&groups=api:x", as_="dave"
    ).json
    (grant,) = explained["grants"]
    assert (grant["verdict"], [each["rule"] for each in grant["obstacles"]]) == ("refuses", ["who"])


PERSON: Final = '[[person]]\nname = "alice"\nidentities = ["api:alice", "mtls:alice"]\n'


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose policy has a person."""
    made = make_service(tmp_path_factory.mktemp("known"), POLICY + PERSON)
    with made.running():
        give_credentials(made, "alice", "bob", "carol", "dave")
        yield made


def test_person_is_all_accounts_and_a_name_that_is_nobody_s_is_said_to_be_that(known: Service) -> None:
    service = known
    told = service.http("GET", "/v1/access/explain?subject=alice&login=root", as_="dave").json
    (deploy, dba) = told["grants"]
    assert (told["subject"], deploy["account"], deploy["verdict"]) == ("alice", "api:alice", "gives")
    assert dba["verdict"] == "refuses"
    rows = service.http("GET", "/v1/access?basis=policy&subject=alice&login=root", as_="dave").json["access"]
    assert {row["subject"] for row in rows} == {"api:alice", "mtls:alice"}
    assert "mtls:alice" in service.cli("access", "what", "alice", "--basis", "policy").stdout
    for path in ("access?", "access?basis=policy&", "access/explain?"):
        reply = service.http("GET", f"/v1/{path}subject=nobody", as_="dave")
        assert reply.slug == "not-found"
        assert "no person nobody" in reply.json["detail"]
    assert service.http("GET", "/v1/access/explain?subject=alice", as_="alice").slug == "policy-denied"


def test_moment_before_any_policy_and_hosts_that_are_none_are_not_found(service: Service) -> None:
    for query in ("at=2020-01-01T00:00:00Z", "host=nowhere.example", "host_group=nowhere"):
        reply = service.http("GET", f"/v1/access/explain?{query}", as_="dave")
        assert (reply.status, reply.slug) == (404, "not-found")


def test_moment_that_has_passed_is_explained_by_what_was_in_force_then(known: Service) -> None:
    known.http("POST", "/v1/locks", {"identity": "api:bob", "reason": "left"}, as_="carol")
    known.settled("/v1/whoami", "dave")
    before_ms = json.loads(known.entry(known.size - 1))["time_ms"] - 1
    at = format_rfc3339_ms(before_ms)
    # A moment that has only just passed is now to somebody's clock.
    while time.time() * 1000 < before_ms + 12_000:
        time.sleep(0.5)
    for as_, about in (("bob", ""), ("dave", "&subject=api:bob")):
        then = known.http("GET", f"/v1/access/explain?login=root&at={at}{about}", as_=as_).json
        now = known.http("GET", f"/v1/access/explain?login=root{about}", as_=as_).json
        assert (then["subject"], then["settled"]) == ("api:bob", True)
        assert [each["verdict"] for each in then["grants"] if each["name"] == "deploy"] == ["gives"]
        assert now["grants"][0]["obstacles"][0]["rule"] == "lock"
    shown = json.loads(known.cli("policy", "explain", "--at", at, "--login", "root", "--json").stdout)
    assert (shown["subject"], shown["grants"][0]["verdict"]) == ("local:root", "gives")
    denied = known.http("GET", f"/v1/access/explain?at={at}&subject=api:eve", as_="bob")
    assert denied.slug == "policy-denied"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("subject=api:", "subject"),
        ("subject=bob:%00", "subject"),
        ("groups=oidc:dba,ops", "groups.1"),
        ("host=Web 1", "host"),
        ("host_group=a@b", "host_group"),
        ("login=a b", "login"),
    ],
)
def test_what_can_be_nobody_and_nowhere_is_said_to_be_that(service: Service, query: str, field: str) -> None:
    reply = service.http("GET", f"/v1/access/explain?{query.replace(' ', '%20')}", as_="dave")
    assert (reply.slug, reply.json["field"]) == ("malformed-request", field)


def test_command_explains_in_words_and_as_json(service: Service) -> None:
    shown = service.cli("policy", "explain", "--host", HOST, "--login", "postgres")
    assert "is as deploy, root, not as postgres" in shown.stdout
    as_json = json.loads(service.cli("policy", "explain", "--login", "root", "--json").stdout)
    assert (as_json["subject"], as_json["grants"][0]["verdict"]) == ("local:root", "gives")
