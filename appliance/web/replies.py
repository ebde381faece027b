"""What the routes answer with, as pydantic models: they describe, in OpenAPI, what the views render.

Nothing is converted by them. That replies are what is described here, a test asks of the running service.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import FINGERPRINT, Maybe, leave_out_null
from appliance.web.problems import PROBLEMS

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T08:00:00Z"])]
Serial = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$", description="in decimal")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, Field(pattern=FINGERPRINT)]
Size = Annotated[int, Field(ge=0, description="the entries of the ledger that this answer covers")]
Seq = Annotated[int, Field(ge=0, description="an entry of the ledger")]
CertificateType = Literal["user", "host"]
Cursor = Annotated[str | None, Field(description="for the next page; null on the last one")]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Issued(_Reply):
    """A certificate that was just issued."""

    certificate: Annotated[str, Field(description="one line, for an id_…-cert.pub file")]
    serial: Serial
    id: Annotated[str, Field(description="the serial as log.seq")]
    type: CertificateType
    ca: str
    key_id: str
    principals: list[str]
    valid_after: Moment
    valid_before: Moment
    leaf_hash: Annotated[Hash, Field(description="of the intent's entry, hex: what a proof proves")]
    proof: Annotated[str, Field(description="where the proof can be had, within seconds")]
    tlog_proof: Maybe[Annotated[str, Field(description="the proof, with Prefer: wait=N")]]


class IssuedCertificates(_Reply):
    """One certificate, or several where constraints differ."""

    certificates: list[Issued]
    ledger_size: Size


class Problem(BaseModel):
    """What every error is (RFC 9457). Further members say more, such as `policy` or `ledger_size`."""

    type: Annotated[str, Field(json_schema_extra={"enum": [f"/problems/{slug}" for slug in PROBLEMS]})]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="what happened, and what was expected")]
    instance: Annotated[
        str, Field(pattern=r"^urn:uuid:[0-9a-f-]{36}$", description="the request, as the log names it")
    ]
    field: Maybe[Annotated[str, Field(description="the field that is wrong")]]
    rule: Maybe[Annotated[str, Field(description="the rule that refused")]]
    allowed: Maybe[
        Annotated[list[str], Field(description="login@host-group that your grants give at that time")]
    ]
    opens: Maybe[Annotated[Moment, Field(description="when a grant of yours opens next")]]
    retry_after_s: Maybe[Annotated[int, Field(description="as Retry-After says")]]


class BatchOutcome(_Reply):
    """What came of one request: certificates and the ledger's size, or a problem."""

    certificates: Maybe[list[Issued]]
    ledger_size: Maybe[Size]
    problem: Maybe[Problem]


class BatchOutcomes(_Reply):
    """One outcome for each request, in their order."""

    outcomes: list[BatchOutcome]


class Revocation(_Reply):
    """When, why and by whom a certificate was revoked."""

    recorded: Moment
    reason: Maybe[str]
    by: Maybe[str]
    entry: Seq


class CitedGrant(_Reply):
    """A grant that a certificate rests on, and the file of the policy that holds it."""

    file: str
    name: str


class CertificateShown(_Reply):
    """All that is on record of a certificate."""

    serial: Serial
    id: Annotated[str, Field(description="the serial as log.seq")]
    type: CertificateType
    state: Literal["pending", "active", "expired", "revoked", "failed"]
    ca: str
    ca_key: Fingerprint
    customer: Maybe[str]
    key_id: str
    subject: Annotated[str, Field(description="whom it is for: provider:subject")]
    identity: Annotated[dict[str, Any], Field(description="who asked, as in docs/formats/entries.md")]
    on_behalf_of: Maybe[Annotated[dict[str, Any], Field(description="whom for, if a delegate asked")]]
    host: Maybe[str]
    key_fingerprint: Fingerprint
    principals: list[str]
    valid_after: Moment
    valid_before: Moment
    critical_options: dict[str, str]
    extensions: list[str]
    request: Annotated[dict[str, Any], Field(description="what was asked for, as recorded")]
    grants: list[CitedGrant]
    policy: Seq
    recorded: Moment
    leaf_hash: Hash
    certificate: Maybe[Annotated[str, Field(description="one line; absent if none was issued")]]
    outcome: Maybe[Literal["issued", "failed", "abandoned"]]
    outcome_reason: Maybe[str]
    intent: Annotated[Seq, Field(description="the entry of the intent")]
    outcome_entry: Maybe[Seq]
    proof: str
    revocation: Maybe[Revocation]


class CertificateOnRecord(CertificateShown):
    """All that is on record of a certificate, at a size of the ledger."""

    ledger_size: Size


class CertificatePage(_Reply):
    """Some certificates, newest first."""

    certificates: list[CertificateShown]
    cursor: Cursor
    ledger_size: Size


class Inspected(_Reply):
    """What there is to say of a certificate that somebody showed."""

    on_record: Annotated[bool, Field(description="this very certificate, byte for byte")]
    state: Literal["unknown", "pending", "active", "expired", "revoked", "failed"]
    active: Annotated[bool, Field(description="on record, and good for logging in now")]
    signature: Literal["good", "bad"]
    ca: Maybe[Annotated[str, Field(description="whose key signed it, if it is a key of ours")]]
    ca_key: Fingerprint
    type: CertificateType
    serial: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,19})$")]
    key_id: str
    key_fingerprint: Fingerprint
    principals: list[str]
    subject: Maybe[Annotated[str, Field(description="who asked: provider:subject")]]
    reason: Maybe[Annotated[str, Field(description="what for, in his words")]]
    grants: Maybe[list[CitedGrant]]
    policy: Maybe[Seq]
    revocation: Maybe[Revocation]
    record: Maybe[CertificateShown]
    ledger_size: Size


class CaKeyShown(_Reply):
    """A key of a CA and the phase that it is in."""

    ca: str
    type: CertificateType
    customer: Maybe[str]
    fingerprint: Fingerprint
    public_key: Annotated[str, Field(description="an OpenSSH line")]
    phase: Literal["created", "trusted", "signing", "retired"]
    halted: Annotated[bool, Field(description="the token gave a bad signature for it: it signs nothing")]
    created: Moment
    since: Annotated[Moment, Field(description="when it entered this phase")]


class CaKeys(_Reply):
    """The keys of all CAs, oldest first."""

    cas: list[CaKeyShown]
    ledger_size: Size


class HostShown(_Reply):
    """A registered host."""

    name: str
    customer: str
    names: Annotated[list[str], Field(description="of its certificate")]
    labels: dict[str, str]
    entry: Seq
    registered: Moment


class HostOnRecord(HostShown):
    """A registered host, at a size of the ledger."""

    ledger_size: Size


class HostPage(_Reply):
    """Some hosts, by name."""

    hosts: list[HostShown]
    cursor: Cursor
    ledger_size: Size


class HostBundle(_Reply):
    """All that a host's sshd needs, and the signature over it (docs/formats/bundle.md)."""

    host: str
    document: Annotated[str, Field(description="RFC 8785 JSON: what to install")]
    statement: Annotated[str, Field(description="what is signed; has the document's SHA-256")]
    signature: Annotated[str, Field(description="armored SSHSIG, namespace bundle@chancery")]
    key: Annotated[str, Field(description="that made it; believe the one that was pinned")]
    generated: Moment
    fresh_until: Moment
    ledger_size: Size


class RecordedEntry(_Reply):
    """An entry that came of an order."""

    seq: Seq
    kind: str


class CarriedOut(_Reply):
    """An order that was carried out: what is on record of it."""

    entries: list[RecordedEntry]


class CredentialShown(_Reply):
    """An API credential, which is not its secret."""

    id: str
    identity: str
    kind: Literal["user", "service", "host"]
    created: Moment
    expires: Maybe[Moment]
    uses: Maybe[int]
    used: Maybe[int]
    revoked: Maybe[Moment]
    revoked_reason: Maybe[str]
    valid: Annotated[bool, Field(description="whether it identifies anyone now")]


class CredentialPage(_Reply):
    """Some credentials, newest first."""

    credentials: list[CredentialShown]
    cursor: Cursor
    ledger_size: Size


class PolicyFileShown(_Reply):
    """One file of a policy."""

    name: str
    text: Annotated[str, Field(description="TOML")]


class PolicyShown(_Reply):
    """The policy in force, and the entry that applied it."""

    policy: Seq
    files: list[PolicyFileShown]
    ledger_size: Size


class WhoYouAre(_Reply):
    """The requester, as the appliance sees it."""

    identity: Annotated[str, Field(description="provider:subject")]
    kind: Literal["user", "service", "host"]
    groups: Annotated[list[str], Field(description="provider:group, as a grant would name them")]
    mfa: Annotated[bool, Field(description="whether more than one factor was shown")]
    roles: list[Literal["admin", "operator", "auditor", "enroller"]]
    customers: Maybe[Annotated[list[str], Field(description="whose auditor he is, if not everyone's")]]
    ledger_size: Size


class _Reached(_Reply):
    login: str
    principal: str
    customer: str
    ca: str
    ca_phase: Annotated[
        str, Field(description="of the CA's key at the moment; halted or none: it signs nothing")
    ]
    host_groups: list[str]
    hosts: Annotated[list[str], Field(description="the first of them")]
    host_count: Annotated[int, Field(ge=0, description="how many hosts there are")]
    grants: list[CitedGrant]
    policy: Annotated[Seq, Field(description="the entry that put the grants in force")]


class CertifiedAccessShown(_Reached):
    """One principal of one live certificate (basis `certificates`)."""

    subject: Annotated[str, Field(description="who asked: provider:subject")]
    serial: Serial
    id: Annotated[str, Field(description="the serial as log.seq")]
    key_id: str
    key_fingerprint: Fingerprint
    valid_after: Moment
    valid_before: Moment
    critical_options: Maybe[dict[str, str]]
    intent: Seq
    outcome_entry: Seq


class GrantedAccessShown(_Reached):
    """One principal that a grant gives to one holder (basis `policy`)."""

    subject: Annotated[str, Field(description="provider:subject, or a provider's group")]
    kind: Annotated[Literal["user", "service", "member", "group"], Field(description="what the subject is")]
    through: Maybe[Annotated[list[str], Field(description="the document's groups that he is in")]]
    ttl: Annotated[str, Field(description="at most")]
    locked: Maybe[Annotated[Seq, Field(description="the entry of a lock: nothing can be obtained")]]
    leave: Maybe[Annotated[Seq, Field(description="the entry of his leave: nothing can be obtained")]]
    source: Maybe[list[str]]
    force_command: Maybe[str]
    permit: list[str]
    when: Maybe[Annotated[str, Field(description="the schedule, in words")]]
    from_: Annotated[str | None, Field(default=None, alias="from", json_schema_extra=leave_out_null)]
    until: Maybe[Annotated[str, Field(description="the last day")]]
    open: Annotated[bool, Field(description="whether hours and leave let anything be obtained at the moment")]
    opens: Maybe[Annotated[Moment, Field(description="when they would next, if they did not and ever would")]]
    delegates: Maybe[Annotated[list[str], Field(description="who may ask on his behalf")]]
    conditions: Maybe[Annotated[list[str], Field(description="what a request must come with")]]


class AccessList(_Reply):
    """Who has access to what, at a moment."""

    access: list[CertifiedAccessShown | GrantedAccessShown]
    basis: Literal["certificates", "policy"]
    at: Moment
    settled: Annotated[bool, Field(description="whether the answer can never change")]
    policy: Maybe[Annotated[Seq, Field(description="the policy that was in force")]]
    cursor: Cursor
    ledger_size: Size


class ConsistencyProof(_Reply):
    """That the log of the new size has the one of the old size as its beginning."""

    old: int
    new: int
    proof: Annotated[list[str], Field(description="hashes in base64 (RFC 9162 §2.1.4)")]
    ledger_size: Size


class LedgerEntries(_Reply):
    """Some entries, byte for byte."""

    start: Seq
    entries: Annotated[list[str], Field(description="base64")]
    ledger_size: Size
