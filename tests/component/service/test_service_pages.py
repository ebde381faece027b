"""Lists in pages, readers that name a size, and replies that are known by their ETag."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from support.service import HOST, Reply, Service

HOSTS = [f"page-{number}.acme.example" for number in range(5)]


@pytest.fixture(scope="module")
def listed(service: Service) -> Iterator[Service]:
    for name in HOSTS:
        service.order("host", "add", name, "--customer", "acme", "--label", "role=page")
    service.settled("/v1/whoami", "carol")
    service.credential("another")
    yield service
    for name in HOSTS:
        service.order("host", "remove", name)


def read_all(service: Service, path: str, member: str, key: str) -> list[str]:
    """Read a list two at a time; return what each has under ``key``."""
    found: list[str] = []
    cursor = ""
    while True:
        page = service.http("GET", f"{path}?limit=2{cursor}", as_="carol").json
        assert len(page[member]) <= 2
        assert page["ledger_size"] > 10
        found += [each[key] for each in page[member]]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


def test_hosts_are_paged_by_name(listed: Service) -> None:
    found = read_all(listed, "/v1/hosts", "hosts", "name")
    assert found == sorted(set(found))
    assert {HOST, *HOSTS} <= set(found)


def test_page_of_hosts_goes_on_where_the_last_one_ended_although_that_host_is_gone(listed: Service) -> None:
    cursor = HOSTS[1].encode().hex()
    page = listed.http("GET", f"/v1/hosts?limit=2&cursor={cursor}", as_="carol").json
    assert [host["name"] for host in page["hosts"]] == HOSTS[2:4]
    between = (HOSTS[1] + "x").encode().hex()
    page = listed.http("GET", f"/v1/hosts?limit=1&cursor={between}", as_="carol").json
    assert [host["name"] for host in page["hosts"]] == [HOSTS[2]]


def test_credentials_are_paged_newest_first(listed: Service) -> None:
    for subject in ("alice", "bob", "dave", "erin"):
        listed.credential(subject)
    found = read_all(listed, "/v1/credentials", "credentials", "id")
    assert len(found) == len(set(found)) >= 5
    everything = listed.http("GET", "/v1/credentials?limit=500", as_="carol").json["credentials"]
    assert found == [each["id"] for each in everything]
    created = [each["created"] for each in everything]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("path", ["/v1/hosts", "/v1/credentials", "/v1/certificates"])
@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=zz", "cursor=", "cursor=eyJh"])
def test_page_that_cannot_be_is_malformed(service: Service, path: str, query: str) -> None:
    reply = service.http("GET", f"{path}?{query}", as_="carol")
    assert (reply.slug, reply.json["field"]) == ("malformed-request", query.split("=", maxsplit=1)[0])


def test_lists_of_the_command_line_are_paged_too(listed: Service) -> None:
    first = json.loads(listed.cli("host", "list", "--limit", 2, "--json").stdout)
    more = json.loads(listed.cli("host", "list", "--limit", 2, "--cursor", first["cursor"], "--json").stdout)
    assert more["hosts"][0]["name"] > first["hosts"][-1]["name"]
    assert f"--cursor {first['cursor']}" in listed.cli("host", "list", "--limit", 2).stderr
    credentials = json.loads(listed.cli("credential", "list", "--limit", 1, "--json").stdout)
    assert len(credentials["credentials"]) == 1
    assert credentials["cursor"] is not None


READING = (
    "/v1/cas",
    "/v1/cas/acme-users/public-key",
    "/v1/whoami",
    "/v1/access",
    "/v1/policy",
    "/v1/hosts",
    "/v1/credentials",
    "/v1/certificates",
    f"/v1/hosts/{HOST}",
    f"/v1/hosts/{HOST}/sshd",
    "/v1/ledger/consistency?old=1&new=2",
    "/v1/ledger/entries?start=0&limit=1",
)


def sized(service: Service, path: str, size: int) -> Reply:
    subject = "dave" if "access" in path or "ledger" in path else "carol"
    return service.http("GET", f"{path}{'&' if '?' in path else '?'}min_size={size}", as_=subject)


@pytest.mark.parametrize("path", READING)
def test_reader_names_the_size_that_he_has_seen(service: Service, path: str) -> None:
    assert sized(service, path, 1).status == 200


@pytest.mark.parametrize("path", ["/v1/cas", "/v1/ledger/entries?start=0"])
def test_reader_who_has_seen_more_is_told_to_come_again(service: Service, path: str) -> None:
    began = time.monotonic()
    reply = sized(service, path, 90_000_000)
    assert (reply.status, reply.slug) == (503, "ledger-unavailable")
    assert reply.headers["retry-after"] == "1"
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("path", ["/v1/cas", "/v1/policy", "/v1/cas/acme-users/public-key"])
def test_reply_that_is_held_already_is_304_while_only_the_ledger_grows(service: Service, path: str) -> None:
    first = service.http("GET", path, as_="carol")
    service.issue({"public_key": service.operator_key.with_suffix(".pub").read_text()})
    service.settled("/v1/whoami", "carol")
    again = service.http("GET", path, as_="carol", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = service.http("GET", path, as_="carol", headers={"If-None-Match": '"other"'})
    assert other.status == 200


def test_policy_that_was_applied_since_has_another_etag(service: Service) -> None:
    first = service.http("GET", "/v1/policy", as_="carol")
    service.order("policy", "apply", service.scratch / "policy.toml")
    service.settled("/v1/whoami", "carol")
    reply = service.http("GET", "/v1/policy", as_="carol", headers={"If-None-Match": first.headers["etag"]})
    assert reply.status == 200
    assert reply.json["policy"] > first.json["policy"]
