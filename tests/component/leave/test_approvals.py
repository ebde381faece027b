"""Approvals in the running service: asked for and answered over HTTPS and by the command line."""

from __future__ import annotations

import json
import time
from typing import Any

from appliance.authority.approving.answers import NAMESPACE, Decision, answer_message
from appliance.authority.fold.approvals import Requested
from appliance.cli.ordering import sign_message
from support.service import Service

ORIGIN = "ca.example.org/log/1"


def ask(service: Service, as_: str, grant: str = "prod") -> Any:
    reply = service.http("POST", "/v1/approvals", {"grant": grant, "reason": "restore"}, as_=as_)
    assert reply.status in {200, 201}, reply.body
    return reply.json


def answer(
    service: Service, shown: dict[str, Any], person: str, decision: Decision, lasts_s: int = 600
) -> Any:
    """Answer as a client does that has read the documents, from what the list of approvals shows."""
    expires_s = int(time.time()) + lasts_s
    requested = Requested(
        seq=shown["approval"], identity=shown["identity"], grant=shown["grant"], answer_by_s=0, ttl_s=0
    )
    message = answer_message(ORIGIN, requested, decision, expires_s)
    body = {
        "decision": decision,
        "person": person,
        "expires_s": expires_s,
        "signature": sign_message(message, NAMESPACE, service.scratch / person),
    }
    return service.http("POST", f"/v1/approvals/{shown['approval']}", body, as_="carol")


def shown(service: Service, approval: int, as_: str) -> dict[str, Any] | None:
    found = service.settled("/v1/approvals?past=true", as_)["approvals"]
    return next((each for each in found if each["approval"] == approval), None)


def sign(service: Service, as_: str) -> Any:
    public_key = service.operator_key.with_suffix(".pub").read_text()
    return service.http("POST", "/v1/certificates/user", {"public_key": public_key, "grant": "prod"}, as_=as_)


def test_refusal_says_which_approval_is_missing_and_the_approved_requester_gets_his_certificate(
    service: Service,
) -> None:
    refused = sign(service, "vic")
    assert (refused.status, refused.json["rule"]) == (403, "require.approvals")
    assert "chancery approval request prod" in refused.json["detail"]
    seq = ask(service, "vic")["approval"]
    assert ask(service, "vic") == {"approval": seq, "already": True}
    found = shown(service, seq, "bob")
    assert found is not None
    assert (found["identity"], found["reason"], found["state"]) == ("api:vic", "restore", "open")
    done = service.cli(
        "approval", "give", seq, "--person", "bob", "--key", service.scratch / "bob", "--for", "20m"
    )
    released = sign(service, "vic")
    assert released.status == 201, released.body
    (certificate,) = released.json["certificates"]
    given = shown(service, seq, "vic")
    assert given is not None
    assert (given["state"], given["answers"][0]["person"]) == ("given", "bob")
    assert certificate["valid_before"] == given["ends"]
    said = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert {name: value.strip() for name, value in said.items()} == {
        "asked by": "api:vic",
        "grant": "prod",
        "reason": "restore",
        "your answer": f"given, until {given['ends']}",
    }
    intent = json.loads(service.entry(int(certificate["serial"]) & (1 << 48) - 1))
    assert intent["data"]["approvals"] == [seq]
    refusal = answer(service, given, "eve", "refused")
    assert refusal.status == 201
    assert sign(service, "vic").status == 403


def test_approver_who_asks_cannot_approve_and_another_can(service: Service) -> None:
    seq = ask(service, "eve")["approval"]
    found = shown(service, seq, "eve")
    assert found is not None
    own = answer(service, found, "eve", "given")
    assert (own.status, own.slug) == (403, "policy-denied")
    assert answer(service, found, "bob", "given", 3 * 3_600).status == 403  # longer than the grant's ttl
    assert answer(service, found, "bob", "given").status == 201
    assert answer(service, found, "bob", "given").status == 409
    assert sign(service, "eve").status == 201


def test_approvals_are_seen_by_whom_they_concern(service: Service) -> None:
    seq = ask(service, "vic")["approval"]
    assert shown(service, seq, "dave") is not None  # an auditor
    assert shown(service, seq, "eve") is not None  # an approver
    assert shown(service, seq, "alice") is None
    refused = ("--person", "eve", "--key", service.scratch / "eve", "--reason", "not today", "--json")
    told = json.loads(service.cli("approval", "refuse", seq, *refused).stdout)
    assert (told["approval"], told["answer"]) == (seq, "refused")
    found = shown(service, seq, "vic")
    assert found is not None
    assert (found["state"], found["answers"][-1]["reason"]) == ("refused", "not today")


def test_approval_for_a_grant_that_needs_none_or_is_not_one_s_own_is_refused(service: Service) -> None:
    for grant, as_, status in (("deploy", "alice", 409), ("prod", "alice", 403), ("nothing", "vic", 403)):
        reply = service.http("POST", "/v1/approvals", {"grant": grant, "reason": "x"}, as_=as_)
        assert reply.status == status, reply.body


def test_approval_is_asked_for_and_listed_by_the_command_line(service: Service) -> None:
    first = json.loads(service.cli("approval", "request", "local", "--reason", "x", "--json").stdout)
    service.settled("/v1/whoami", "dave")
    row = next(line for line in service.cli("approval", "list").stdout.splitlines() if "local:root" in line)
    assert row.split()[:5] == [str(first["approval"]), "local:root", "local", "open,", "0"]
