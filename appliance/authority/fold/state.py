"""The state that all decisions rest on: a fold of the ledger's entries, and nothing else.

:meth:`State.apply` is the only thing that changes it, and entries are the only thing that it takes. The
authority folds the log once when it starts and each entry as it is appended; whoever replays the log does the
same. What is not in an entry cannot be in here.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from appliance.authority.fold.approvals import Approvals
from appliance.authority.fold.ca_keys import enter_phase, halt, keys_of_log, purpose_of_ca
from appliance.authority.fold.cuts import lift_lock, place_lock, revoke
from appliance.authority.fold.leaves import Leaves
from appliance.authority.fold.records import (
    AppliedPolicy,
    Ca,
    Credential,
    IssuedCertificate,
    Phase,
    Retryable,
    RetryName,
    Serial,
)
from appliance.authority.fold.revoked import Revoked
from appliance.authority.orders import order_message, spent_id
from appliance.errors import ChanceryError, Refusal
from appliance.identity.identity import grantee_of
from appliance.policy.check import check_recorded
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Host
from appliance.policy.holidays import calendar_from_data
from appliance.policy.locks import Locks
from appliance.ssh.certificate import read_validity
from audit.entry import Entry

# A revoked serial stays on record as revoked, and a certificate known, this long after it has expired.
KEPT_AFTER_EXPIRY_S: Final = 24 * 3_600


_NOTHING: Final = Retryable(request="", intents=())


class UnknownEntry(ChanceryError):
    """An entry that this version cannot fold: a newer one wrote it, and must be the one to go on."""


@dataclass(slots=True)
class State:
    """The fold. ``head_ms`` is the last entry's moment; ``certificates`` are by the seq of their intent.

    ``own_keys`` are the fingerprints of all keys that ever were the appliance's, and what each is for.
    """

    origin: str = ""
    log_number: int = 0
    max_ttl_s: int = 0
    ledger_key: str = ""
    bundle_key: str = ""
    probe_key: str = ""
    size: int = 0
    head_ms: int = 0
    applied: AppliedPolicy | None = None
    cas: dict[str, Ca] = field(default_factory=dict)
    own_keys: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    certificates: dict[int, IssuedCertificate] = field(default_factory=dict)
    open_intents: set[int] = field(default_factory=set)
    spent_orders: set[bytes] = field(default_factory=set)
    retryable: dict[RetryName, Retryable] = field(default_factory=dict)
    by_subject: dict[str, dict[int, None]] = field(default_factory=dict)
    by_delegate: dict[str, dict[int, None]] = field(default_factory=dict)
    locks: Locks = field(default_factory=Locks)
    revoked: Revoked = field(default_factory=Revoked)
    leaves: Leaves = field(default_factory=Leaves)
    approvals: Approvals = field(default_factory=Approvals)
    _files: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _expiries: list[tuple[int, int]] = field(default_factory=list)
    _order_ends: list[tuple[int, bytes]] = field(default_factory=list)

    def in_force(self) -> AppliedPolicy:
        """Return the policy in force.

        Raises:
            Refusal: ``issuance-halted``; there is none.
        """
        if self.applied is None:
            raise Refusal("issuance-halted", "no policy has been applied; apply one first")
        return self.applied

    def serial(self, seq: int) -> Serial:
        """Return the serial of the certificate whose intent is entry ``seq``."""
        return Serial(self.log_number << 48 | seq)

    def find_certificate(self, serial: int) -> IssuedCertificate | None:
        """Return the certificate with this serial, unless it expired more than a day ago."""
        if serial >> 48 != self.log_number:
            return None
        return self.certificates.get(serial & (1 << 48) - 1)

    def newest_host_certificate(self, host: str, now_s: int) -> IssuedCertificate | None:
        """Return the certificate of a host that was issued last, is not revoked and has not expired."""
        known = (self.certificates[seq] for seq in reversed(self.by_subject.get(f"host:{host}", {})))
        valid = (each for each in known if each.outcome == "issued" and each.valid_before > now_s)
        return next((each for each in valid if not each.revoked), None)

    def pending_text(self, file: Mapping[str, Any]) -> str:
        """Return the text of a file whose parts are on record and which is about to be applied."""
        return "".join(part["text"] for part in self.pending_parts(file))

    def pending_parts(self, file: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the data of the ``policy.file`` entries of a file that is about to be applied."""
        return [self._files[seq] for seq in file["seqs"]]

    def apply(self, entry: Entry) -> None:
        """Fold the next entry in.

        Raises:
            UnknownEntry: its kind or version is not one of this version's.
        """
        fold = _FOLDS.get((entry.kind, entry.v))
        if fold is None:
            raise UnknownEntry(
                f"entry {entry.seq} is of the kind {entry.kind} version {entry.v}, unknown to this version: "
                "run the version that wrote it, or a newer one"
            )
        self.size = entry.seq + 1
        self.head_ms = entry.time_ms
        fold(self, entry, entry.data)
        if "orders" in entry.data:
            self._spend(entry.data)
        self._forget(entry.time_ms // 1000)

    def _forget_certificate(self, certificate: IssuedCertificate) -> None:
        _drop(self.by_subject, certificate.subject, certificate.seq)
        if certificate.delegate is not None:
            _drop(self.by_delegate, certificate.delegate, certificate.seq)
        self.revoked.forget(certificate.ca_key, certificate.seq)
        name = certificate.retry
        if name is not None and certificate.seq in self.retryable.get(name, _NOTHING).intents:
            del self.retryable[name]

    def _spend(self, data: Mapping[str, Any]) -> None:
        for order in data["orders"]:
            message = order_message(self.origin, data["command"], order["policy"], order["expires_s"])
            spent = spent_id(message, order["operator"])
            self.spent_orders.add(spent)
            heapq.heappush(self._order_ends, (order["expires_s"], spent))

    def _forget(self, now_s: int) -> None:
        """Drop what can matter no more, so that memory follows what is live and not what ever was."""
        while self._expiries and self._expiries[0][0] + KEPT_AFTER_EXPIRY_S < now_s:
            _, seq = heapq.heappop(self._expiries)
            # An intent without an outcome stays until it has one, however long the token takes.
            if seq not in self.open_intents:
                self._forget_certificate(self.certificates.pop(seq))
            else:
                heapq.heappush(self._expiries, (now_s, seq))
        while self._order_ends and self._order_ends[0][0] < now_s:
            self.spent_orders.discard(heapq.heappop(self._order_ends)[1])
        self.leaves.forget(now_s)
        self.approvals.forget(now_s)


def _drop(seqs_by_name: dict[str, dict[int, None]], name: str, seq: int) -> None:
    seqs = seqs_by_name[name]
    del seqs[seq]
    if not seqs:
        del seqs_by_name[name]


def _open_log(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.origin = data["origin"]
    state.log_number = data["log_number"]
    state.max_ttl_s = data["max_ttl_s"]
    state.ledger_key = data["ledger_key"]
    state.bundle_key = data["bundle_key"]
    state.probe_key = data["probe_key"]
    state.own_keys.update(keys_of_log(data))


def _remember_retry(state: State, seq: int, name: RetryName, request: str) -> None:
    known = state.retryable.get(name)
    # Intents of one request stand together; after a failure the same key begins anew.
    together = known is not None and all(state.certificates[each].outcome is None for each in known.intents)
    intents = (*known.intents, seq) if known is not None and together else (seq,)
    state.retryable[name] = Retryable(request=request, intents=intents)


def _intend(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    valid_after, valid_before = read_validity(base64.b64decode(data["tbs"]))
    identity, grantee, request = data["identity"], grantee_of(data), data["request"]
    requester = sys.intern(f"{identity['provider']}:{identity['subject']}")
    retry: RetryName | None = None
    if (idempotency := data.get("idempotency")) is not None:
        retry = (requester, idempotency["key"])
        _remember_retry(state, entry.seq, retry, idempotency["request"])
    granted = f"host:{request['host']}" if "host" in data else f"{grantee['provider']}:{grantee['subject']}"
    subject = sys.intern(granted)
    state.certificates[entry.seq] = IssuedCertificate(
        seq=entry.seq,
        subject=subject,
        subject_key=hashlib.sha256(base64.b64decode(request["public_key"].split(" ")[1])).digest(),
        ca_key=sys.intern(data["ca_key"]),
        valid_after=valid_after,
        valid_before=valid_before,
        groups=tuple(map(sys.intern, grantee["groups"])),
        delegate=requester if "on_behalf_of" in data else None,
        enroller=requester if "host" in data else None,
        asked_ms=entry.time_ms,
        retry=retry,
    )
    state.by_subject.setdefault(subject, {})[entry.seq] = None
    if "on_behalf_of" in data:
        state.by_delegate.setdefault(requester, {})[entry.seq] = None
    state.open_intents.add(entry.seq)
    heapq.heappush(state._expiries, (valid_before, entry.seq))


def _conclude(outcome: Literal["issued", "failed", "abandoned"]) -> _Fold:
    def fold(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
        seq = data["intent"]
        known = state.certificates[seq]
        # A signature may exist that nobody should have: such a serial counts as revoked.
        revoked = known.revoked or bool(data.get("requested", False))
        if revoked:
            state.revoked.add(known.ca_key, seq)
        state.certificates[seq] = replace(known, outcome=outcome, outcome_seq=entry.seq, revoked=revoked)
        state.open_intents.discard(seq)

    return fold


def _keep_file(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    state._files[entry.seq] = data


def _apply_policy(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    files = []
    for file in data["files"]:
        text = state.pending_text(file)
        if hashlib.sha256(text.encode()).hexdigest() != file["sha256"]:
            raise ChanceryError(
                f"entry {entry.seq}: the text of {file['name']} is not the one that was applied"
            )
        files.append(PolicyFile(name=file["name"], text=text))
    policy = parse_policy(files, map(calendar_from_data, data.get("holidays", ())))
    check_recorded(policy)
    state.applied = AppliedPolicy(seq=entry.seq, policy=policy)
    state._files.clear()


def _enter_phase(phase: Phase) -> _Fold:
    def fold(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
        ca = state.cas[data["name"]] = enter_phase(state.cas.get(data["name"]), phase, data, entry.time_ms)
        # The one that is moved stands last; a key that was another purpose's before stays known as that.
        state.own_keys.setdefault(ca.keys[-1].fingerprint, purpose_of_ca(ca.name))

    return fold


def _halt(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.cas[data["name"]] = halt(state.cas[data["name"]], data["ca_key"])


def _register_host(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    state.hosts[data["name"]] = Host(
        name=data["name"],
        customer=data["customer"],
        names=tuple(data["names"]),
        labels=tuple((label["name"], label["value"]) for label in data["labels"]),
        seq=entry.seq,
    )


def _remove_host(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.hosts.pop(data["name"], None)


def _create_credential(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.credentials[data["id"]] = Credential(
        id=data["id"],
        subject=data["subject"],
        kind=data["kind"],
        secret_sha256=data["secret_sha256"],
        expires_s=data.get("expires_s"),
        uses_left=data.get("uses"),
    )


def _use_credential(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    known = state.credentials[data["id"]]
    state.credentials[known.id] = replace(known, uses_left=(known.uses_left or 1) - 1)


def _revoke_credential(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.credentials[data["id"]] = replace(state.credentials[data["id"]], revoked=True)


def _book_leave(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    state.leaves.book(entry.seq, data)


def _withdraw_leave(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.leaves.withdraw(data["leave"])


def _cancel_leave(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.leaves.cancel(data["leave"], data.get("ends_s"))


def _request_approval(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    policy = Policy() if state.applied is None else state.applied.policy
    state.approvals.request(entry.seq, data, policy)


def _give_approval(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.approvals.give(data)


def _refuse_approval(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    state.approvals.refuse(data)


def _keep_nothing(_state: State, _entry: Entry, _data: Mapping[str, Any]) -> None:
    """Fold an entry that is evidence and changes no decision."""


_Fold = Callable[[State, Entry, Mapping[str, Any]], None]
_FOLDS: Final[Mapping[tuple[str, int], _Fold]] = {
    ("log.opened", 1): _open_log,
    ("node.started", 1): _keep_nothing,
    ("node.stopped", 1): _keep_nothing,
    ("heartbeat", 1): _keep_nothing,
    ("certificate.intent", 1): _intend,
    ("certificate.issued", 1): _conclude("issued"),
    ("certificate.failed", 1): _conclude("failed"),
    ("certificate.abandoned", 1): _conclude("abandoned"),
    ("certificate.denied", 1): _keep_nothing,
    ("certificate.revoked", 1): revoke,
    ("lock.placed", 1): place_lock,
    ("lock.lifted", 1): lift_lock,
    ("policy.file", 1): _keep_file,
    ("policy.applied", 1): _apply_policy,
    ("ca.created", 1): _enter_phase("created"),
    ("ca.trusted", 1): _enter_phase("trusted"),
    ("ca.signing", 1): _enter_phase("signing"),
    ("ca.retired", 1): _enter_phase("retired"),
    ("ca.halted", 1): _halt,
    ("host.registered", 1): _register_host,
    ("host.removed", 1): _remove_host,
    ("credential.created", 1): _create_credential,
    ("credential.used", 1): _use_credential,
    ("credential.revoked", 1): _revoke_credential,
    ("leave.booked", 1): _book_leave,
    ("leave.withdrawn", 1): _withdraw_leave,
    ("leave.cancelled", 1): _cancel_leave,
    ("approval.requested", 1): _request_approval,
    ("approval.given", 1): _give_approval,
    ("approval.refused", 1): _refuse_approval,
}
