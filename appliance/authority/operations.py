"""What can be asked of the authority over its sockets: from a request's plain data to a command, and back.

The web tier is believed about who asks for a certificate, and about nothing else: bodies are checked again
here, and orders are verified by their signatures. On the admin socket nobody speaks for others: there the
identity is the peer's own, ``local:<user>``.
"""

from __future__ import annotations

import pwd
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from appliance.authority.administration import (
    Answer,
    add_host,
    apply_policy,
    create_credential,
    remove_host,
)
from appliance.authority.admission import Admission
from appliance.authority.batches import MAX_BATCHES, Batch
from appliance.authority.bundle import HostView, view_host
from appliance.authority.ceremony import Ceremony
from appliance.authority.commands import (
    AddHost,
    ApplyPolicy,
    CommandBody,
    CreateCa,
    CreateCredential,
    RemoveHost,
)
from appliance.authority.events import IdempotencyData
from appliance.authority.issuance import Cycle, IssueCertificates
from appliance.authority.orders import MAX_ORDERS, OrderBody
from appliance.authority.protocol import Request
from appliance.authority.rates import Rates
from appliance.authority.releases import IssuedReply, Release
from appliance.authority.revocation import RevokeCertificate, RevokeCredential
from appliance.authority.server import Peer, Reply
from appliance.authority.state import State
from appliance.authority.writer import At, Command, ReadState, Writer
from appliance.errors import Refusal, malformed
from appliance.identity.identity import PROVIDER, Identity, is_subject
from appliance.policy.document import PolicyFile
from appliance.requests import (
    CredentialRevocationBody,
    HostCertificateBody,
    HostRequest,
    IdempotencyBody,
    RevocationBody,
    UserCertificateBody,
    UserRequest,
    check_body,
    parse_host_request,
    parse_user_request,
)
from appliance.ssh.content import CertificateType
from appliance.ssh.errors import SshFormatError, UnacceptableKey
from audit.entry import Entry
from audit.stores.store import Reader

MAX_ENTRIES: Final = 2_000
MAX_ENTRIES_BYTES: Final = 4 * 1_048_576
MAX_WAIT_S: Final = 30.0
MAX_SEQ: Final = 2**53 - 1
MAX_ITEMS: Final = 1_000
MAX_TEXTS: Final = 1_000
MAX_TEXT: Final = 1_024

# What the index asks; it has no business with anything else.
READING: Final = frozenset({"entries", "status", "context"})

_Parsed = TypeVar("_Parsed")
_Operation = Callable[[Peer, Mapping[str, Any], Reply], None]
_MODELS: Final[Mapping[str, type[CommandBody]]] = {
    "policy.apply": ApplyPolicy,
    "ca.create": CreateCa,
    "host.add": AddHost,
    "host.remove": RemoveHost,
    "credential.create": CreateCredential,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the operations work with; ``readers`` are users that speak for nobody, and may read only."""

    writer: Writer
    cycle: Cycle
    ceremony: Ceremony
    reader: Reader
    last_checkpoint: Callable[[], tuple[int, str] | None]
    now_ms: Callable[[], int]
    status: Callable[[State, At], dict[str, Any]]
    probe: Callable[[Reply], None]
    bundle: Callable[[HostView, int, Reply], None]
    admission: Admission
    rates: Rates
    readers: Collection[int] = ()


class Operations:
    """The table of operations: the authority's whole surface."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reading = threading.Lock()
        self._batches = threading.BoundedSemaphore(MAX_BATCHES)
        self._table: Mapping[str, _Operation] = {
            "certificate.user": self._issue_user,
            "certificate.host": self._issue_host,
            "certificate.batch": self._issue_batch,
            "certificate.revoke": self._revoke_certificate,
            "credential.revoke": self._revoke_credential,
            "order": self._order,
            "host.sshd": self._host_sshd,
            "context": self._context,
            "entries": self._entries,
            "status": lambda _peer, _args, reply: parts.writer.submit(ReadState(parts.status, reply)),
            "probe": lambda _peer, _args, reply: parts.probe(reply),
        }

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        """Answer one request; see :class:`appliance.authority.server.Handler`."""
        operation = self._table.get(request.op)
        if operation is None or (peer.uid in self._parts.readers and request.op not in READING):
            raise Refusal("not-found", f"the authority has no operation {request.op[:40]!r} for you")
        operation(peer, request.args, reply)

    def _issue_user(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        self._issue_one("user", peer, args, reply)

    def _issue_host(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        self._issue_one("host", peer, args, reply)

    def _issue_one(self, kind: str, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        identity = self._identity(peer, args)
        self._parts.rates.charge(str(identity))
        item = {"type": kind, "body": args.get("body"), "idempotency": args.get("idempotency")}
        self._issue(identity, item, reply)

    def _issue_batch(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Issue for each item by itself; the reply has one outcome for each, in order."""
        identity, items = self._identity(peer, args), args.get("items")
        if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            raise malformed("requests", f"expected 1 to {MAX_ITEMS} requests")
        self._parts.rates.charge(str(identity), len(items))
        # In turns of its own: what the same caller asks for one by one does not wait for all of these.
        turn = f"{identity} in batches"
        starts = [partial(self._issue, identity, item, turn=turn) for item in items]
        if not self._batches.acquire(blocking=False):
            raise Refusal("overloaded", f"{MAX_BATCHES} batches are under way; try again", retry_after_s=5)

        def done(outcomes: list[dict[str, Any]]) -> None:
            self._batches.release()
            reply({"outcomes": outcomes})

        Batch(starts, done).start()

    def _issue(self, identity: Identity, item: object, reply: Reply, *, turn: str | None = None) -> None:
        if not isinstance(item, dict):
            raise malformed("requests", "expected objects")
        request = _parse_request(item.get("type"), item.get("body"))
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
                    self._parts.cycle, identity, request, answer, idempotency=idempotency, turn=turn
                )
            )
        except Refusal:
            self._parts.admission.leave(turn)
            raise

    def _revoke_certificate(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(RevocationBody, args.get("body"))
        self._parts.writer.submit(RevokeCertificate(self._identity(peer, args), body, _tell_seq(reply)))

    def _revoke_credential(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(CredentialRevocationBody, args.get("body"))
        self._parts.writer.submit(RevokeCredential(self._identity(peer, args), body, _tell_seq(reply)))

    def _order(self, _peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Carry out what operators ordered; who brings the order does not matter."""
        command = _parse_command(args.get("command"))
        orders = _parse_orders(args.get("orders"))

        def answer(outcome: Sequence[Entry] | Refusal) -> None:
            reply(
                outcome
                if isinstance(outcome, Refusal)
                else {"entries": [{"seq": entry.seq, "kind": entry.kind} for entry in outcome]}
            )

        if isinstance(command, CreateCa):
            self._parts.ceremony.create_ca(command, orders, answer)
        else:
            self._parts.writer.submit(_build(command, args.get("files"), orders, answer))

    def _host_sshd(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Give all that a host's sshd needs, signed with the bundle key."""
        identity, name, min_size = self._identity(peer, args), args.get("name"), args.get("min_size", 0)
        if not isinstance(name, str) or type(min_size) is not int:
            raise malformed("name", "expected the name of a host, and a size of the ledger")

        def read(state: State, at: At) -> HostView:
            return view_host(state, identity, name, at.time_s)

        def answer(found: object) -> None:
            if not isinstance(found, HostView):
                reply(found)
                return
            try:
                self._parts.bundle(found, min(min_size, found.size), reply)
            except Refusal as refusal:
                reply(refusal)

        self._parts.writer.submit(ReadState(read, answer))

    def _context(self, _peer: Peer, _args: Mapping[str, Any], reply: Reply) -> None:
        """Tell what an order has to name: the log and the policy in force. None of it is secret."""
        self._parts.writer.submit(ReadState(_context, reply))

    def _entries(self, _peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Give entries from ``start`` on; wait ``wait_s`` for the first. Holds up its own connection only."""
        start, wait_s = args.get("start"), args.get("wait_s")
        if type(start) is not int or not 0 <= start <= MAX_SEQ:
            raise malformed("start", "expected the seq of the first entry")
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_WAIT_S:  # nor NaN
            raise malformed("wait_s", f"expected 0 to {MAX_WAIT_S:.0f} seconds")
        size = self._parts.writer.wait_beyond(start, float(wait_s))
        checkpoint = self._parts.last_checkpoint()
        entries: list[bytes] = []
        room = MAX_ENTRIES_BYTES
        with self._reading:
            for raw in self._parts.reader.entries(start, min(size, start + MAX_ENTRIES)):
                entries.append(raw)
                room -= len(raw)
                if room <= 0:
                    break
        reply({"entries": entries, "size": size, "checkpoint": checkpoint})

    def _identity(self, peer: Peer, args: Mapping[str, Any]) -> Identity:
        if peer.local:
            return local_identity(peer.uid, self._parts.now_ms())
        try:
            identity = Identity.from_data(args.get("identity"))
        except ValidationError as error:
            raise malformed("identity", "expected an identity as the web tier makes it") from error
        return check_identity(identity)


def check_identity(identity: Identity) -> Identity:
    """Check an identity that the web tier names, and return it: much is remembered by identity.

    Raises:
        Refusal: ``malformed-request``; it is larger than any that a provider gives, or oddly named.
    """
    texts = [*identity.groups, *(text for claim in identity.claims for text in claim)]
    if (
        PROVIDER.fullmatch(identity.provider) is None
        or not is_subject(identity.subject)
        or len(texts) > MAX_TEXTS
        or max(map(len, [*texts, identity.source_address or ""])) > MAX_TEXT
    ):
        raise malformed("identity", f"expected provider:subject, and at most {MAX_TEXTS} groups and claims")
    return identity


def local_identity(uid: int, now_ms: int) -> Identity:
    """Return the identity of a local user: what the kernel says, and no power by itself."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Identity(provider="local", subject=name, kind="user", authenticated_ms=now_ms)


def _parse_request(kind: object, body: object) -> UserRequest | HostRequest:
    """Parse the request of one item; ``kind`` is what certificate it is for."""
    match kind:
        case "user":
            user = check_body(UserCertificateBody, body)
            return _parse_key(lambda: parse_user_request(user))
        case "host":
            host = check_body(HostCertificateBody, body)
            return _parse_key(lambda: parse_host_request(host))
    raise malformed("type", "expected user or host")


def _context(state: State, at: At) -> dict[str, Any]:
    policy_seq = 0 if state.applied is None else state.applied.seq
    return {"origin": state.origin, "policy": policy_seq, "now_s": at.time_s}


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


def _tell_seq(reply: Reply) -> Callable[[int | Refusal | None], None]:
    """Return an answer that tells the seq of the entry, or that there was nothing left to do."""

    def answer(outcome: int | Refusal | None) -> None:
        if isinstance(outcome, Refusal):
            reply(outcome)
        else:
            reply({} if outcome is None else {"seq": outcome})

    return answer


def _parse_key(parse: Callable[[], _Parsed]) -> _Parsed:
    """Parse a request whose form is right; what can still be wrong is its public key."""
    try:
        return parse()
    except UnacceptableKey as error:
        raise Refusal("unacceptable-key", f"public_key: {error}", field="public_key") from error
    except SshFormatError as error:
        raise malformed("public_key", str(error)) from error


def _parse_command(data: object) -> CommandBody:
    if not isinstance(data, dict):
        raise malformed("command", "expected an object")
    model = _MODELS.get(str(data.get("verb"))[:100])
    if model is None:
        raise malformed("command.verb", f"expected one of {', '.join(_MODELS)}")
    return check_body(model, data)


def _parse_orders(data: object) -> list[OrderBody]:
    if not isinstance(data, list) or not 0 < len(data) <= MAX_ORDERS:
        raise malformed("orders", f"expected 1 to {MAX_ORDERS} signed orders")
    return [check_body(OrderBody, each) for each in data]


def _parse_files(data: object) -> list[PolicyFile]:
    if not isinstance(data, list) or not all(
        isinstance(file, dict) and isinstance(file.get("name"), str) and isinstance(file.get("text"), str)
        for file in data
    ):
        raise malformed("files", "expected a list of name and text")
    return [PolicyFile(name=file["name"], text=file["text"]) for file in data]


def _build(command: CommandBody, files: object, orders: Sequence[OrderBody], answer: Answer) -> Command:
    match command:
        case ApplyPolicy():
            return apply_policy(command, _parse_files(files), orders, answer)
        case AddHost():
            return add_host(command, orders, answer)
        case RemoveHost():
            return remove_host(command, orders, answer)
        case CreateCredential():
            return create_credential(command, orders, answer)
    raise malformed("command.verb", f"{command.verb} is not carried out here")
