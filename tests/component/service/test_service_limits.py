"""What one identity may ask for, and what refusals leave in the ledger: little, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from appliance.authority.issuing.denials import MAX_TRACKED
from appliance.authority.transport.client import AuthorityClient
from appliance.errors import Refusal
from support.hostile import KEY
from support.load import BODY, entries, judge
from support.service import HOST, Reply, Service, make_service

BURST = 6_000
BATCH = "/v1/certificates/batch"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = make_service(tmp_path_factory.mktemp("limits"))
    # A millionth of a token a second: none comes back while the tests run.
    with made.running(
        CHANCERY_SERVICE_WORKERS="1",
        CHANCERY_LIMITS_CERTIFICATES_PER_S="1e-6",
        CHANCERY_LIMITS_CERTIFICATES_BURST=str(BURST),
    ):
        made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        yield made
    judge(made, [])


def ask_for_many(service: Service, who: str, items: list[dict[str, Any]]) -> Reply:
    return service.http("POST", BATCH, {"requests": items}, credential=service.credential(who, "service"))


def denied(service: Service) -> list[dict[str, Any]]:
    return [entry for entry in entries(service) if entry["kind"] == "certificate.denied"]


def test_thousands_of_refusals_leave_a_handful_of_entries_and_then_there_are_none(service: Service) -> None:
    assert service.issue(BODY)
    before = len(denied(service))
    for number in range(BURST // 1_000):
        items: list[dict[str, Any]] = [
            {"type": "user", "public_key": KEY, "logins": [f"u{number}-{each}"]} for each in range(500)
        ]
        items += [{"type": "host", "public_key": KEY, "host": f"h{each}.example"} for each in range(500)]
        outcomes = ask_for_many(service, "flooder", items).json["outcomes"]
        assert {outcome["problem"]["type"] for outcome in outcomes} == {"/problems/policy-denied"}
    # One for each rule at once, and one for each rule in ten seconds; fewer, if many are counted already.
    assert 1 <= len(denied(service)) - before <= 8
    size = service.size
    for _ in range(5):
        reply = ask_for_many(service, "flooder", [{"type": "user", "public_key": KEY}])
        assert (reply.status, reply.slug) == (429, "rate-limited")
        assert int(reply.headers["retry-after"]) == reply.json["retry_after_s"] > 0
        assert "api:flooder may ask for" in reply.json["detail"]
    grown = [entry for entry in entries(service)[size:] if entry["kind"].startswith("certificate.")]
    assert all(entry["data"]["count"] > 1 for entry in grown), "a count that was due, and no new refusal"
    assert service.issue(BODY), "others are served"


def test_batch_that_is_more_than_is_left_is_refused_whole(service: Service) -> None:
    for _ in range(5):
        assert ask_for_many(service, "eater", [{"type": "spy"}] * 1_000).status == 200
    assert ask_for_many(service, "eater", [{"type": "spy"}] * 500).status == 200
    assert ask_for_many(service, "eater", [{"type": "spy"}] * 501).slug == "rate-limited"
    assert ask_for_many(service, "eater", [{"type": "spy"}] * 500).status == 200
    assert ask_for_many(service, "eater", [{"type": "spy"}]).slug == "rate-limited"


def test_web_tier_that_invents_identities_leaves_no_entry_for_each(service: Service) -> None:
    """Whoever owns the web tier can claim to be anyone; he cannot fill the ledger with that."""
    client, before, size = (
        AuthorityClient(service.data / "run" / "authority.sock"),
        denied(service),
        service.size,
    )
    for number in range(2_000):
        identity = {
            "provider": "mtls", "subject": f"invented-{number}", "kind": "user", "groups": [], "claims": [],
            "mfa": False, "authenticated_ms": 0,
        }  # fmt: skip
        with pytest.raises(Refusal, match="no grant covers"):
            client.call("certificate.user", identity=identity, body={"public_key": KEY})
    client.close()
    assert len(denied(service)) - len(before) <= 3 * MAX_TRACKED
    assert service.size - size < 4 * MAX_TRACKED


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "x" * 256},
        {"subject": "two\nlines"},
        {"subject": ""},
        {"provider": "MTLS"},
        {"provider": "a:b"},
        {"groups": [f"g{number}" for number in range(1_001)]},
        {"groups": ["g" * 2_000]},
        {"claims": [{"name": "n", "value": "v" * 2_000}]},
        {"source_address": "1" * 2_000},
        {"kind": "robot"},
        {"mfa": 1},
        {"more": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_identity_that_no_provider_gives_is_not_remembered(
    service: Service, changes: dict[str, object]
) -> None:
    identity = {
        "provider": "mtls", "subject": "x", "kind": "user", "groups": [], "claims": [], "mfa": False,
        "authenticated_ms": 0,
    }  # fmt: skip
    client, size = AuthorityClient(service.data / "run" / "authority.sock"), service.size
    with pytest.raises(Refusal, match="identity: expected") as refused:
        client.call("certificate.user", identity=identity | changes, body={"public_key": KEY})
    client.close()
    assert refused.value.slug == "malformed-request"
    assert [entry["kind"] for entry in entries(service)[size:] if "certificate" in entry["kind"]] == []


@pytest.mark.parametrize("start", [-1, 2**53, 2**64 - 1, 1.5, True, None, "0"], ids=repr)
def test_entries_that_cannot_be_are_refused(service: Service, start: object) -> None:
    client = AuthorityClient(service.data / "run" / "authority.sock")
    with pytest.raises(Refusal, match="start: expected the seq"):
        client.call("entries", start=start, wait_s=0)
    client.close()


@pytest.mark.parametrize("wait_s", [-1, 31, float("nan"), float("inf"), None], ids=repr)
def test_entries_are_not_waited_for_longer_than_anyone_waits(service: Service, wait_s: object) -> None:
    client = AuthorityClient(service.data / "run" / "authority.sock")
    with pytest.raises(Refusal, match="wait_s: expected 0 to 30 seconds"):
        client.call("entries", start=0, wait_s=wait_s)
    client.close()
