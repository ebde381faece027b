"""Batches, retries that are safe, and replies that come with their proof."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.ssh.certificate import parse_certificate_line
from audit.entry import leaf_hash
from audit.note import parse_vkey
from audit.proof import parse_proof, verify_proof
from support.load import BODY, entries
from support.service import HOST, Reply, Service, make_disturbed_service
from support.shim import Shim

BATCH = "/v1/certificates/batch"
USER = "/v1/certificates/user"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Shim]]:
    service, shim = make_disturbed_service(tmp_path_factory.mktemp("batch"))
    text = (service.scratch / "policy.toml").read_text()
    text = text.replace('"api:bob",', '"api:bob",').replace(
        'who.services = ["mtls:', 'who.services = ["api:portal", "mtls:'
    )
    (service.scratch / "policy.toml").write_text(text)
    with service.running():
        service.order("policy", "apply", service.scratch / "policy.toml")
        service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        service.credential("portal", kind="service")
        yield service, shim


@pytest.fixture
def service(running: tuple[Service, Shim]) -> Service:
    return running[0]


def ask(service: Service, key: str, body: object = BODY, as_: str = "alice", path: str = USER) -> Reply:
    return service.http("POST", path, body, as_=as_, headers={"Idempotency-Key": key})


def intents(service: Service) -> list[dict[str, Any]]:
    return [entry for entry in entries(service) if entry["kind"] == "certificate.intent"]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "odd-ones-too"}])
def test_batch_has_one_outcome_for_each_request_in_order(service: Service, headers: dict[str, str]) -> None:
    good = {"type": "user", **BODY}
    bad = {"type": "user", **BODY, "logins": ["nobody"]}
    requests: list[object] = [
        good,
        bad,
        {"type": "user"},
        {"type": "spy"},
        good,
        {"public_key": 7, "type": "user"},
    ]
    requests += [7, None, [good], "user"]
    reply = service.http("POST", BATCH, {"requests": requests}, as_="portal", headers=headers)
    assert reply.status == 200, reply.body
    outcomes = reply.json["outcomes"]
    slugs = [
        outcome["problem"]["type"].removeprefix("/problems/") if "problem" in outcome else "issued"
        for outcome in outcomes
    ]
    assert slugs == [
        "issued",
        "policy-denied",
        "malformed-request",
        "malformed-request",
        "issued",
        *["malformed-request"] * 5,
    ]
    assert outcomes[-1]["problem"]["detail"] == "body: expected an object"
    first, second = outcomes[0], outcomes[4]
    assert first["certificates"][0]["serial"] != second["certificates"][0]["serial"]
    parse_certificate_line(first["certificates"][0]["certificate"])
    assert outcomes[1]["problem"]["status"] == 403


def test_batch_of_a_thousand(service: Service) -> None:
    requests = [{"type": "user", **BODY}] * 1_000
    reply = service.http("POST", BATCH, {"requests": requests}, as_="portal")
    assert reply.status == 200, reply.body
    problems = [outcome["problem"] for outcome in reply.json["outcomes"] if "problem" in outcome]
    assert not problems
    serials = {outcome["certificates"][0]["serial"] for outcome in reply.json["outcomes"]}
    assert len(serials) == 1_000
    assert service.http("POST", BATCH, {"requests": [*requests, requests[0]]}, as_="portal").status == 400
    assert service.http("POST", BATCH, {"requests": []}, as_="portal").slug == "malformed-request"


def test_batches_are_for_services(service: Service) -> None:
    reply = service.http("POST", BATCH, {"requests": [{"type": "user", **BODY}]}, as_="alice")
    assert reply.slug == "policy-denied"


def test_repeated_request_gets_the_same_reply_and_no_second_certificate(service: Service) -> None:
    first = ask(service, "one")
    assert first.status == 201
    before = len(intents(service))
    again = ask(service, "one")
    assert (again.status, again.json) == (201, first.json)
    assert len(intents(service)) == before
    intent = intents(service)[-1]["data"]["idempotency"]
    assert len(intent["key"]) == len(intent["request"]) == 64
    assert "one" not in intent.values(), "only the hash of the key is on record"


def test_key_is_the_callers_own_and_for_one_request(service: Service) -> None:
    mine = ask(service, "mine").json
    assert ask(service, "mine", as_="bob").json != mine
    assert ask(service, "mine", {**BODY, "ttl": "5m"}).slug == "conflict"
    assert ask(service, "mine", {**BODY, "ttl": "5m"}, path=USER).status == 409
    assert ask(service, "mine").json == mine


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\u00e9"])
def test_key_that_is_none_is_refused(service: Service, key: str) -> None:
    refused = ask(service, key)
    assert refused.slug == "malformed-request"
    assert "Idempotency-Key" in refused.json["detail"]


def test_repetition_waits_for_what_is_under_way(running: tuple[Service, Shim]) -> None:
    service, shim = running
    before = len(intents(service))
    shim.delay_ns = 500_000_000
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(ask(service, "slow"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shim.calm()
    assert [reply.status for reply in replies] == [201] * 5
    assert len({json.dumps(reply.json, sort_keys=True) for reply in replies}) == 1
    assert len(intents(service)) == before + 1


def test_repetition_after_a_failure_tries_anew(running: tuple[Service, Shim]) -> None:
    service, shim = running
    shim.corrupt_times = 0
    # Six tries of one job, three before and three after a recovery whose probe works, is more than it has.
    shim.fail_with, shim.fail_times = 0x21, 1_000  # CKR_DATA_LEN_RANGE
    refused = ask(service, "failing")
    assert refused.status == 503
    shim.calm()
    service.await_ready()
    again = ask(service, "failing")
    assert again.status == 201
    assert ask(service, "failing").json == again.json


def test_repetition_survives_a_restart_and_a_credential_of_one_use(service: Service) -> None:
    once = service.credential("portal", kind="service", uses=1)
    headers = {"Idempotency-Key": "across"}
    first = service.http("POST", USER, BODY, credential=once, headers=headers)
    assert first.status == 201
    assert service.http("POST", USER, BODY, credential=once).status == 401
    service.kill("authority")
    service.await_ready()
    again = service.http("POST", USER, BODY, credential=once, headers=headers)
    assert (again.status, again.json) == (201, first.json)


def test_repeated_batch_gets_the_same_outcomes(service: Service) -> None:
    body = {"requests": [{"type": "user", **BODY}, {"type": "user", **BODY, "ttl": "10m"}]}
    first = ask(service, "batch", body, as_="portal", path=BATCH)
    before = len(intents(service))
    assert ask(service, "batch", body, as_="portal", path=BATCH).json == first.json
    assert len(intents(service)) == before
    body["requests"][1]["ttl"] = "20m"
    outcomes = ask(service, "batch", body, as_="portal", path=BATCH).json["outcomes"]
    assert outcomes[0] == first.json["outcomes"][0]
    assert outcomes[1]["problem"]["type"] == "/problems/conflict"


def test_reply_comes_with_its_proof_where_that_is_preferred(service: Service) -> None:
    reply = service.http("POST", USER, BODY, as_="alice", headers={"Prefer": "respond-async, wait=20"})
    assert reply.status == 201
    assert reply.headers["preference-applied"] == "wait=20"
    (issued,) = reply.json["certificates"]
    vkey = parse_vkey((service.data / "ledger.vkey").read_text().strip())
    proof = parse_proof(issued["tlog_proof"])
    assert verify_proof(proof, vkey).size > proof.index
    assert leaf_hash(proof.extra).hex() == issued["leaf_hash"]
    plain = service.http("POST", USER, BODY, as_="alice")
    assert "tlog_proof" not in plain.json["certificates"][0]
    assert "preference-applied" not in plain.headers
