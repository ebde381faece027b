"""Operations that ask for certificates: one, or a batch of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from appliance.authority.events import IdempotencyData
from appliance.authority.issuing.batches import MAX_BATCHES, Batch
from appliance.authority.issuing.issuance import IssueCertificates
from appliance.authority.issuing.releases import IssuedReply, Release
from appliance.authority.operations.callers import find_caller, find_grantee
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.transport.server import Peer, Reply
from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.requests import (
    HostCertificateBody,
    HostRequest,
    IdempotencyBody,
    UserCertificateBody,
    UserRequest,
    check_body,
    parse_host_request,
    parse_user_request,
)
from appliance.ssh.content import CertificateType
from appliance.ssh.errors import SshFormatError, UnacceptableKey

MAX_ITEMS: Final = 1_000

_Parsed = TypeVar("_Parsed")


class Issuing:
    """What ends in the issuance cycle."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = threading.BoundedSemaphore(MAX_BATCHES)

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "certificate.user": self._issue_user,
            "certificate.host": self._issue_host,
            "certificate.batch": self._issue_batch,
        }

    def _issue_user(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        self._issue_one("user", peer, args, reply)

    def _issue_host(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        self._issue_one("host", peer, args, reply)

    def _issue_one(self, kind: str, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        identity = find_caller(self._parts, peer, args)
        self._parts.rates.charge(identity)
        item = {"type": kind, **{name: args.get(name) for name in ("body", "idempotency", "on_behalf_of")}}
        self._issue(identity, item, reply, local=peer.local)

    def _issue_batch(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Issue for each item by itself; the reply has one outcome for each, in order."""
        identity, items = find_caller(self._parts, peer, args), args.get("items")
        if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            raise malformed("requests", f"expected 1 to {MAX_ITEMS} requests")
        self._parts.rates.charge(identity, len(items))
        # In turns of its own: what the same caller asks for one by one does not wait for all of these.
        turn = f"{identity} in batches"
        starts = [partial(self._issue, identity, item, turn=turn, local=peer.local) for item in items]
        if not self._batches.acquire(blocking=False):
            raise Refusal("overloaded", f"{MAX_BATCHES} batches are under way; try again", retry_after_s=5)

        def done(outcomes: list[dict[str, Any]]) -> None:
            self._batches.release()
            reply({"outcomes": outcomes})

        Batch(starts, done).start()

    def _issue(
        self, identity: Identity, item: object, reply: Reply, *, local: bool, turn: str | None = None
    ) -> None:
        if not isinstance(item, dict):
            raise malformed("requests", "expected objects")
        request = _parse_request(item.get("type"), item.get("body"))
        person = find_grantee(item.get("on_behalf_of"), request, local=local)
        idempotency: IdempotencyData | None = None
        if (sent := item.get("idempotency")) is not None:
            checked = check_body(IdempotencyBody, sent)
            idempotency = IdempotencyData(key=checked.key, request=checked.request)
        turn = turn or str(identity)

        def answer(outcome: Release | Refusal) -> None:
            self._parts.admission.leave(turn)
            reply(outcome if isinstance(outcome, Refusal) else _released(outcome))

        self._parts.admission.enter(turn)
        try:
            self._parts.writer.submit(
                IssueCertificates(
                    self._parts.cycle,
                    identity,
                    request,
                    answer,
                    idempotency=idempotency,
                    turn=turn,
                    on_behalf_of=person,
                )
            )
        except Refusal:
            self._parts.admission.leave(turn)
            raise


def _parse_request(kind: object, body: object) -> UserRequest | HostRequest:
    """Parse the request of one item; ``kind`` is what certificate it is for."""
    if not isinstance(body, dict):
        raise malformed("body", "expected an object")
    match kind:
        case "user":
            user = check_body(UserCertificateBody, body)
            if user.on_behalf_of is not None:
                raise malformed("on_behalf_of", "people are looked up for single requests over HTTPS: ask so")
            return _parse_key(lambda: parse_user_request(user))
        case "host":
            host = check_body(HostCertificateBody, body)
            return _parse_key(lambda: parse_host_request(host))
    raise malformed("type", "expected user or host")


def _released(release: Release) -> dict[str, Any]:
    certificates = [_certificate(issued) for issued in release.certificates]
    return {"certificates": certificates, "ledger_size": release.ledger_size}


def _certificate(issued: IssuedReply) -> dict[str, Any]:
    content = issued.content
    return {
        "certificate": issued.line,
        "type": "user" if content.type is CertificateType.USER else "host",
        "serial": str(content.serial),
        "seq": issued.seq,
        "ca": issued.ca,
        "key_id": content.key_id,
        "principals": list(content.principals),
        "valid_after": content.valid_after,
        "valid_before": content.valid_before,
        "leaf_hash": issued.leaf_hash.hex(),
    }


def _parse_key(parse: Callable[[], _Parsed]) -> _Parsed:
    """Parse a request whose form is right; what can still be wrong is its public key."""
    try:
        return parse()
    except UnacceptableKey as error:
        raise Refusal("unacceptable-key", f"public_key: {error}", field="public_key") from error
    except SshFormatError as error:
        raise malformed("public_key", str(error)) from error
