"""What the issuing routes have in common: safe retries, and replies that wait for their proof."""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import Any, Final

from flask import Response, jsonify

from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.index.prove import prove
from appliance.index.render import render_release
from appliance.requests import HostCertificateBody, UserCertificateBody
from appliance.web.models import BatchBody
from appliance.web.problems import describe
from appliance.web.request import StrictRequest, current_request
from appliance.web.services import Services, requester

# The endpoints whose requests may be repeated under a key.
ISSUING: Final = frozenset({"certificates.issue_user", "certificates.issue_host", "certificates.batch"})
MAX_WAIT_S: Final = 30
# Longer than all items of a batch may wait for their turns.
BATCH_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_KEY: Final = re.compile(r"[!-~]{1,255}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.ASCII | re.IGNORECASE)


def issue(
    services: Services, op: str, body: UserCertificateBody | HostCertificateBody
) -> tuple[Response, int]:
    """Have certificates issued: once for an Idempotency-Key, with their proofs if that was preferred."""
    request = current_request()
    more: dict[str, Any] = {}
    if (key := _idempotency_key(request)) is not None:
        more["idempotency"] = _idempotency(request, key, request.raw_body)
    wishes = body.model_dump(exclude_none=True)
    if (person := wishes.pop("on_behalf_of", None)) is not None:
        more["on_behalf_of"] = find_person(services, person).to_data()
    release = services.ask(op, body=wishes, **more)
    rendered = render_release(release)
    response_headers = {}
    if (wait_s := _preferred_wait_s(request)) is not None:
        _add_proofs(services, release, rendered, wait_s)
        response_headers["Preference-Applied"] = f"wait={wait_s}"
    response = jsonify(rendered)
    response.headers.update(response_headers)
    return response, 201


def find_person(services: Services, reference: str) -> Identity:
    """Return the person on whose behalf the requester asks, from a directory and not by his word.

    Raises:
        Refusal: ``policy-denied``; no grant names the requester as a delegate, so that he is told nothing of
            who is in the directory. Those of :meth:`appliance.web.logins.Logins.look_up`.
    """
    delegate = str(requester())
    with services.index.snapshot() as snapshot:
        policy = snapshot.policy()
    if policy is None or not any(delegate in filed.grant.delegates for filed in policy.grants):
        detail = f"no grant lets {delegate} ask on behalf of others"
        raise Refusal("policy-denied", detail, rule="delegates")
    return services.logins.look_up(reference)


def issue_batch(services: Services, body: BatchBody) -> Response:
    """Have many requests of a service carried out, each by itself."""
    if requester().kind != "service":
        raise Refusal("policy-denied", "batches are for services; ask one by one", rule="certificate.batch")
    request = current_request()
    key = _idempotency_key(request)
    items = [_to_item(each) for each in body.requests]
    if key is not None:
        for position, (item, each) in enumerate(zip(items, body.requests, strict=True)):
            item["idempotency"] = _idempotency(request, f"{key}/{position}", _canonical(each))
    done = services.ask("certificate.batch", timeout_s=BATCH_TIMEOUT_S, items=items)
    return jsonify(outcomes=[_render_outcome(request, outcome) for outcome in done["outcomes"]])


def _to_item(sent: object) -> dict[str, Any]:
    """Tell an item's type from the rest of its body; what is no object is for the authority to refuse."""
    if not isinstance(sent, dict):
        return {"type": None, "body": sent}
    return {"type": sent.get("type"), "body": {name: each for name, each in sent.items() if name != "type"}}


def _render_outcome(request: StrictRequest, outcome: dict[str, Any]) -> dict[str, Any]:
    if "refusal" in outcome:
        return {"problem": describe(Refusal.from_wire(outcome["refusal"]), request.id)}
    return render_release(outcome["ok"])


def _idempotency_key(request: StrictRequest) -> str | None:
    key = request.field("IDEMPOTENCY_KEY")
    if key is not None and not _KEY.fullmatch(key):
        raise malformed("Idempotency-Key", "expected 1 to 255 visible ASCII characters")
    return key


def _idempotency(request: StrictRequest, key: str, body: bytes) -> dict[str, str]:
    sent = f"{request.method}\n{request.path}\n".encode() + body
    return {"key": hashlib.sha256(key.encode()).hexdigest(), "request": hashlib.sha256(sent).hexdigest()}


def _canonical(item: object) -> bytes:
    """Return an item in one form, however its members were ordered and spaced when it was sent."""
    return json.dumps(item, sort_keys=True, separators=(",", ":")).encode()


def _preferred_wait_s(request: StrictRequest) -> int | None:
    """Return what ``Prefer: wait=N`` asks for (RFC 7240 §4.3), in seconds, cut to what is offered."""
    found = _WAIT.search(request.field("PREFER") or "")
    return None if found is None else min(int(found[1]), MAX_WAIT_S)


def _add_proofs(services: Services, release: dict[str, Any], rendered: dict[str, Any], wait_s: int) -> None:
    """Wait until a checkpoint covers the certificates, and add their proofs; leave them out if none does."""
    end = time.monotonic() + wait_s
    for issued, shown in zip(release["certificates"], rendered["certificates"], strict=True):
        while True:
            try:
                shown["tlog_proof"] = prove(services.tiles, issued["seq"])
                break
            except Refusal:
                if time.monotonic() > end:
                    return
                time.sleep(_POLL_S)
