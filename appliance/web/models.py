"""Queries and paths as pydantic models, which OpenAPI describes too. Unknown parameters are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.authority.orders import OrderBody
from appliance.index.cursors import MAX_CURSOR
from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE
from appliance.moments import parse_moment_ms
from appliance.policy.names import check_host_name, check_name
from appliance.web.problems import PROBLEMS


def _check_moment(text: str) -> str:
    parse_moment_ms(text)
    return text


Moment = Annotated[str, AfterValidator(_check_moment), Field(max_length=40)]
Word = Annotated[str, Field(min_length=1, max_length=300)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sized(_Model):
    """What every reading route takes."""

    min_size: Annotated[
        int | None,
        Field(default=None, ge=0, le=2**53, description="wait until the answer covers so many entries"),
    ]


class Paged(Sized):
    """A page of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    cursor: Annotated[str | None, Field(default=None, max_length=MAX_CURSOR)]


class CertificateQuery(Paged):
    """What certificates to search for."""

    subject: Word | None = None
    key_id: Word | None = None
    principal: Word | None = None
    host: Word | None = None
    customer: Word | None = None
    fingerprint: Annotated[Word | None, Field(default=None, description="of the subject's key: SHA256:…")]
    type: Literal["user", "host"] | None = None
    state: Literal["pending", "active", "expired", "revoked", "failed"] | None = None
    since: Moment | None = None
    until: Moment | None = None


class SerialPath(_Model):
    """A certificate by its serial."""

    serial: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$")]


class CaPath(_Model):
    """A CA by its name."""

    ca: Annotated[str, AfterValidator(check_name)]


class PublicKeyQuery(_Model):
    """In which form."""

    known_hosts: Annotated[bool, Field(description="as @cert-authority lines for known_hosts")] = False
    pattern: Annotated[
        str, Field(max_length=253, pattern=r"^[A-Za-z0-9.*?-]+$", description="the hosts of such a line")
    ] = "*"


class HostPath(_Model):
    """A host by its name."""

    name: Annotated[str, AfterValidator(check_host_name)]


class CredentialPath(_Model):
    """An API credential by its id."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class AccessParameters(Paged):
    """Who has access to what."""

    subject: Word | None = None
    host: Word | None = None
    host_group: Word | None = None
    login: Word | None = None
    customer: Word | None = None
    at: Annotated[Moment | None, Field(default=None, description="any moment of the past; default: now")]
    basis: Annotated[
        Literal["certificates", "policy"],
        Field(description="who can log in by certificates that are live, or who could obtain one by policy"),
    ] = "certificates"


class InspectBody(_Model):
    """A certificate to be looked at."""

    certificate: Annotated[str, Field(min_length=1, max_length=100_000)]


class OrderRequest(_Model):
    """A command and the operators' signatures over it (docs/orders.md)."""

    command: dict[str, Any]
    orders: Annotated[list[OrderBody], Field(min_length=1, max_length=16)]


class PolicyFileBody(_Model):
    """One file of a policy."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    text: str


class PolicyRequest(_Model):
    """A policy and the orders to apply it; the command is that of the files."""

    files: Annotated[list[PolicyFileBody], Field(min_length=1, max_length=1_000)]
    orders: Annotated[list[OrderBody], Field(min_length=1, max_length=16)]


class ReasonBody(_Model):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ConsistencyQuery(_Model):
    """Two sizes of the log."""

    old: Annotated[int, Field(ge=1, le=2**53)]
    new: Annotated[int, Field(ge=1, le=2**53)]


class EntriesQuery(_Model):
    """Some entries."""

    start: Annotated[int, Field(ge=0, le=2**53)]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE


class TilePath(_Model):
    """A tile by its path."""

    path: Annotated[str, Field(pattern=r"^(entries|\d{1,2})/(x\d{3}/)*\d{3}(\.p/\d{1,3})?$", max_length=60)]


class Issued(BaseModel):
    """A certificate that was just issued."""

    certificate: Annotated[str, Field(description="one line, for an id_…-cert.pub file")]
    serial: str
    id: Annotated[str, Field(description="the serial as log.seq")]
    type: Literal["user", "host"]
    ca: str
    key_id: str
    principals: list[str]
    valid_after: str
    valid_before: str
    leaf_hash: Annotated[str, Field(description="of the intent's entry, hex: what a proof proves")]
    proof: Annotated[str, Field(description="where the proof can be had, within seconds")]
    tlog_proof: Annotated[str | None, Field(default=None, description="the proof, with Prefer: wait=N")]


class BatchBody(BaseModel):
    """Up to a thousand requests; each has one outcome, whatever becomes of the others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    requests: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1,
            max_length=1_000,
            description="each the body of its own route, and `type`: `user` or `host`",
            examples=[[{"type": "host", "public_key": "ssh-ed25519 AAAA…", "host": "web-1.acme.example"}]],
        ),
    ]


class IssuedCertificates(BaseModel):
    """One certificate, or several where constraints differ."""

    certificates: list[Issued]
    ledger_size: Annotated[int, Field(description="the entries that have them on record")]


class BatchOutcome(BaseModel):
    """What came of one request: certificates and the ledger's size, or a problem."""

    certificates: list[Issued] | None = None
    ledger_size: int | None = None
    problem: dict[str, Any] | None = None


class BatchOutcomes(BaseModel):
    """One outcome for each request, in their order."""

    outcomes: list[BatchOutcome]


class Problem(BaseModel):
    """What every error is (RFC 9457). Further members say more, such as `policy` or `ledger_size`."""

    type: Annotated[str, Field(json_schema_extra={"enum": [f"/problems/{slug}" for slug in PROBLEMS]})]
    title: str
    status: int
    detail: Annotated[str, Field(description="what happened, and what was expected")]
    instance: Annotated[str, Field(description="the request, as the log names it")]
    field: Annotated[str | None, Field(default=None, description="the field that is wrong")]
    rule: Annotated[str | None, Field(default=None, description="the rule that refused")]
    allowed: Annotated[list[str] | None, Field(default=None, description="what your grants would allow")]
    retry_after_s: Annotated[int | None, Field(default=None, description="as Retry-After says")]
