"""Explanations over HTTP and at the terminal: anyone about himself, auditors about all."""

from __future__ import annotations

import json

import pytest

from support.service import HOST, Service


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


def test_moment_that_has_passed_and_hosts_that_are_none_are_not_found(service: Service) -> None:
    for query in ("at=2020-01-01T00:00:00Z", "host=nowhere.example", "host_group=nowhere"):
        reply = service.http("GET", f"/v1/access/explain?{query}", as_="dave")
        assert (reply.status, reply.slug) == (404, "not-found")


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
