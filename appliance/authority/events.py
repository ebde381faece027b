"""The data of every kind of entry that the authority writes (docs/formats/entries.md).

The shapes are the ledger's contract. A shape is never changed once entries of it exist: a change is a new
version of its kind beside the old one, in the verifier's table and here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from appliance.identity.identity import IdentityData
from appliance.policy.holidays import CalendarData
from appliance.policy.terms import BoundsData


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is to become an entry: its kind and its data; chain and moment are the ledger's to add."""

    kind: str
    data: Mapping[str, object]


class LogOpened(TypedDict):
    """``log.opened``: entry 0, what the log is and which keys speak for it."""

    format: Literal[1]
    origin: str
    log_number: int
    nonce: str
    ledger_key: str
    bundle_key: str
    probe_key: str
    max_ttl_s: int
    software: str


class NodeState(TypedDict):
    """``node.started``, ``node.stopped``, ``heartbeat``: a sign of life, with the tree before it."""

    node: str
    software: str
    size: int
    root: str


class OrderData(TypedDict):
    """One operator's signature over a command."""

    operator: str
    policy: int
    expires_s: int
    signature: str


class Ordered(TypedDict):
    """The members that every entry which rests on an order has."""

    command: Mapping[str, object]
    orders: list[OrderData]


class GrantReference(TypedDict):
    """A grant of the policy, by file and name."""

    file: str
    name: str


class IdempotencyData(TypedDict):
    """``idempotency``: SHA-256, in hex, of the caller's key and of the request that he sent with it."""

    key: str
    request: str


class CertificateIntent(TypedDict):
    """``certificate.intent``: what the token will be asked to sign, and everything it rests on."""

    ca: str
    ca_key: str
    identity: IdentityData
    request: Mapping[str, object]
    policy: int
    evaluator: int
    tbs: str
    grants: NotRequired[list[GrantReference]]
    host: NotRequired[int]
    on_behalf_of: NotRequired[IdentityData]
    window: NotRequired[BoundsData]
    tzdata: NotRequired[str]
    idempotency: NotRequired[IdempotencyData]
    approvals: NotRequired[list[int]]


class CertificateIssued(TypedDict):
    """``certificate.issued``: the signature over an intent's bytes."""

    intent: int
    signature: str


class CertificateUnfulfilled(TypedDict):
    """``certificate.failed``, ``certificate.abandoned``; ``requested``: a signature may exist."""

    intent: int
    reason: str
    requested: bool


class CertificateDenied(TypedDict):
    """``certificate.denied``: refusals by one rule to one identity, counted over an interval.

    ``shortened``: SHA-256, in hex, of those members that were too long and are recorded in part.
    """

    identity: Mapping[str, object]
    request: Mapping[str, object]
    rule: str
    first_ms: int
    last_ms: int
    count: int
    on_behalf_of: NotRequired[Mapping[str, object]]
    shortened: NotRequired[Mapping[str, str]]


class CertificateRevoked(TypedDict):
    """``certificate.revoked`` by serial; ``by`` is who did it, or the seq of the entry that caused it."""

    serial: str
    reason: str
    by: IdentityData | int


class KeyRevoked(TypedDict):
    """``certificate.revoked`` by key: what is certified for it, and what ever could be."""

    key: str
    reason: str
    by: IdentityData


class LockPlaced(TypedDict):
    """``lock.placed``: no more certificates for what it is on; ``accounts`` are a person's."""

    kind: str
    name: str
    reason: str
    by: IdentityData
    accounts: NotRequired[list[str]]


class LockLifted(Ordered):
    """``lock.lifted``: the lock that an entry placed is over."""

    lock: int
    reason: NotRequired[str]


class PolicyFilePart(TypedDict):
    """``policy.file``: a policy's text, or a part of it; parts count from 0."""

    name: str
    part: int
    parts: int
    text: str
    customer: NotRequired[str]


class AppliedFile(TypedDict):
    """A file of an applied policy, and the entries that hold its text."""

    name: str
    sha256: str
    seqs: list[int]


class PolicyApplied(Ordered):
    """``policy.applied``: from here on decisions follow these files, and these dates as holidays."""

    files: list[AppliedFile]
    evaluator: int
    holidays: NotRequired[list[CalendarData]]


class CaPhase(Ordered):
    """``ca.created``, ``ca.trusted``, ``ca.signing``, ``ca.retired``: a CA key enters a phase."""

    name: str
    type: Literal["user", "host"]
    public_key: str
    transcript: str
    attestation: NotRequired[str]  # base64
    customer: NotRequired[str]


class CaHalted(TypedDict):
    """``ca.halted``: the token gave a signature that does not verify; the key signs nothing more."""

    name: str
    ca_key: str
    intent: int
    reason: str


class Label(TypedDict):
    """A label of a host."""

    name: str
    value: str


class HostRegistered(Ordered):
    """``host.registered``: a host, its certificate's principals, and its labels."""

    name: str
    customer: str
    names: list[str]
    labels: list[Label]


class HostRemoved(Ordered):
    """``host.removed``: the host gets no more certificates and is in no host group."""

    name: str


class CredentialCreated(Ordered):
    """``credential.created``: an API credential, known by the SHA-256 of its secret."""

    id: str
    subject: str
    kind: Literal["user", "service", "host"]
    secret_sha256: str
    expires_s: NotRequired[int]
    uses: NotRequired[int]


class CredentialUsed(TypedDict):
    """``credential.used``: one of a limited number of uses is gone."""

    id: str


class CredentialRevoked(TypedDict):
    """``credential.revoked``: the credential identifies nobody any more."""

    id: str
    reason: str
    by: IdentityData


class LeaveSource(TypedDict):
    """``source``: the feed that a leave came from, and what the event is called there."""

    feed: str
    uid: str


class LeaveBooked(TypedDict):
    """``leave.booked``: a person is away from ``starts_s`` up to and not including ``ends_s``.

    ``identities`` are the accounts that he had then.
    """

    person: str
    identities: list[str]
    starts_s: int
    ends_s: int
    by: IdentityData
    timezone: NotRequired[str]
    reason: NotRequired[str]
    source: NotRequired[LeaveSource]


class LeaveWithdrawn(TypedDict):
    """``leave.withdrawn``: its feed shows it no more. It holds until it is cancelled by order."""

    leave: int
    by: IdentityData


class LeaveCancelled(Ordered):
    """``leave.cancelled``: the leave holds no more, or with ``ends_s`` no longer than until then."""

    leave: int
    ends_s: NotRequired[int]


class ApprovalRequested(TypedDict):
    """``approval.requested``: somebody asks others to let him rest on a grant, for ``ttl_s`` at most."""

    identity: IdentityData
    grant: str
    reason: str
    answer_by_s: int
    ttl_s: int


class ApprovalAnswered(TypedDict):
    """``approval.given``, ``approval.refused``: what a person has signed; it holds until ``expires_s``."""

    approval: int
    person: str
    expires_s: int
    signature: str
    reason: NotRequired[str]
