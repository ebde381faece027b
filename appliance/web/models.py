"""Queries, paths and bodies as pydantic models, which OpenAPI describes too. What is unknown is refused."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from appliance.authority.ordering.commands import AddHost, CommandBody, CreateCredential, LiftLock, RemoveHost
from appliance.authority.orders import MAX_ORDERS, OrderBody
from appliance.index.access import ACCESS_CURSOR
from appliance.index.paging import CREDENTIAL_CURSOR, HOST_CURSOR, LOCK_CURSOR
from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE
from appliance.index.search import CERTIFICATE_CURSOR
from appliance.policy.document import MAX_FILE, MAX_FILES
from appliance.policy.fields import (
    CERTIFICATE_FORMAT,
    CURSOR,
    FINGERPRINT,
    CredentialIdField,
    HostGroupField,
    HostNameField,
    LoginField,
    Maybe,
    MomentField,
    NameField,
    SerialField,
    SubjectField,
)
from appliance.words import Shaped

_Command = TypeVar("_Command", bound=CommandBody)


Moment = MomentField
Word = Annotated[str, Field(min_length=1, max_length=300)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sized(_Model):
    """What every reading route takes."""

    min_size: Maybe[
        Annotated[int, Field(ge=0, le=2**53, description="wait until the answer covers so many entries")]
    ]


class _Paged(Sized):
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="how many at most")] = DEFAULT_PAGE


class CertificateQuery(_Paged):
    """What certificates to search for."""

    cursor: Maybe[
        Annotated[str, Shaped(CERTIFICATE_CURSOR, CURSOR), Field(description="from the page before")]
    ]
    subject: Maybe[Annotated[Word, Field(description="who asked: provider:subject")]]
    key_id: Maybe[Word]
    principal: Maybe[Annotated[Word, Field(description="such as postgres@acme-eu-db")]]
    host: Maybe[Annotated[Word, Field(description="whose host certificates")]]
    customer: Maybe[Word]
    fingerprint: Maybe[
        Annotated[
            str,
            Shaped(FINGERPRINT, "SHA256:… as ssh-keygen -l has it"),
            Field(description="of the subject's key, as ssh-keygen -l has it"),
        ]
    ]
    type: Maybe[Literal["user", "host"]]
    state: Maybe[Literal["pending", "active", "expired", "revoked", "failed"]]
    since: Maybe[Moment]
    until: Maybe[Moment]


class HostsQuery(_Paged):
    """Some of the hosts."""

    cursor: Maybe[
        Annotated[str, Field(max_length=506, description="from the page before"), Shaped(HOST_CURSOR, CURSOR)]
    ]


class CredentialsQuery(_Paged):
    """Some of the credentials."""

    cursor: Maybe[
        Annotated[str, Shaped(CREDENTIAL_CURSOR, CURSOR), Field(description="from the page before")]
    ]


class LocksQuery(_Paged):
    """Some of the locks."""

    cursor: Maybe[Annotated[str, Shaped(LOCK_CURSOR, CURSOR), Field(description="from the page before")]]
    lifted: Annotated[bool, Field(description="also those that were lifted")] = False


class LockPath(_Model):
    """A lock by the entry that placed it."""

    seq: Annotated[int, Field(ge=0, le=2**53 - 1)]


class SerialPath(_Model):
    """A certificate by its serial."""

    serial: SerialField


class CaPath(_Model):
    """A CA by its name."""

    ca: NameField


class PublicKeyQuery(Sized):
    """In which form."""

    known_hosts: Annotated[bool, Field(description="as @cert-authority lines for known_hosts")] = False
    pattern: Annotated[
        str,
        Field(max_length=253, description="the hosts of such a line"),
        Shaped(r"^[A-Za-z0-9.*?-]+$", "a pattern of host names, such as *.acme.example"),
    ] = "*"


class HostPath(_Model):
    """A host by its name."""

    name: HostNameField


class CredentialPath(_Model):
    """An API credential by its id."""

    id: CredentialIdField


class AccessParameters(_Paged):
    """Who has access to what."""

    cursor: Maybe[Annotated[str, Shaped(ACCESS_CURSOR, CURSOR), Field(description="from the page before")]]
    subject: Maybe[Annotated[Word, Field(description="provider:subject, or a person of the policy")]]
    host: Maybe[Word]
    host_group: Maybe[Word]
    login: Maybe[Word]
    customer: Maybe[Word]
    at: Maybe[Annotated[Moment, Field(description="any moment of the past; default: now")]]
    basis: Annotated[
        Literal["certificates", "policy"],
        Field(description="who can log in by certificates that are live, or who could obtain one by policy"),
    ] = "certificates"


class ExplainParameters(_Model):
    """Whose access is to be explained, where, as whom and when."""

    subject: Maybe[SubjectField]  # nobody named is yourself
    host: Maybe[HostNameField]
    host_group: Maybe[HostGroupField]
    login: Maybe[LoginField]
    at: Maybe[Annotated[Moment, Field(description="any moment; default: now")]]
    groups: Maybe[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=300,
                description="of a provider, that he is supposed to be in, such as oidc:dba,oidc:ops",
                json_schema_extra={"format": "identities"},
            ),
        ]
    ]


class InspectBody(_Model):
    """A certificate to be looked at."""

    certificate: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100_000,
            description="one line, as in an id_…-cert.pub file",
            json_schema_extra={"format": CERTIFICATE_FORMAT},
        ),
    ]


Orders = Annotated[
    list[OrderBody],
    Field(min_length=1, max_length=MAX_ORDERS, description="the operators' signatures over the command"),
]


class Ordered(_Model, Generic[_Command]):
    """A command and the operators' signatures over it (docs/formats/entries.md)."""

    command: _Command
    orders: Orders


class AddHostOrder(Ordered[AddHost]):
    """Register a host, or register it anew."""


class RemoveHostOrder(Ordered[RemoveHost]):
    """Remove a host."""


class CreateCredentialOrder(Ordered[CreateCredential]):
    """Put an API credential on record."""


class LiftLockOrder(Ordered[LiftLock]):
    """Lift a lock."""


class PolicyFileBody(_Model):
    """One file of a policy."""

    name: Annotated[
        str,
        Field(examples=["policy.toml"]),
        Shaped(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", "a file's name of at most 100 characters"),
    ]
    text: Annotated[
        str, Field(max_length=MAX_FILE, description="TOML", json_schema_extra={"format": "policy"})
    ]


class PolicyRequest(_Model):
    """A policy and the orders to apply it; the command is that of the files."""

    files: Annotated[list[PolicyFileBody], Field(min_length=1, max_length=MAX_FILES)]
    orders: Orders


class PlanRequest(_Model):
    """A policy that might be applied."""

    files: Annotated[list[PolicyFileBody], Field(min_length=1, max_length=MAX_FILES)]


class ReasonBody(_Model):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["laptop lost"])]


class SessionBody(_Model):
    """A name and a password, for a directory."""

    provider: Annotated[
        str,
        Field(examples=["ldap"]),
        Shaped(r"^[a-z][a-z0-9-]{0,31}$", "the name of a provider, as /v1/providers has it"),
    ]
    username: Annotated[str, Field(min_length=1, max_length=255)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_024)]


class ConsistencyQuery(Sized):
    """Two sizes of the log."""

    old: Annotated[int, Field(ge=1, le=2**53)]
    new: Annotated[int, Field(ge=1, le=2**53, description="at most that of the newest checkpoint")]


class EntriesQuery(Sized):
    """Some entries."""

    start: Annotated[int, Field(ge=0, le=2**53, description="the seq of the first")]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="how many at most")] = DEFAULT_PAGE


class TilePath(_Model):
    """A tile by its path (c2sp.org/tlog-tiles); ``index`` has slashes of its own."""

    level: Annotated[
        str,
        Field(description="of hashes, or `entries`"),
        Shaped(r"^(entries|[0-9]{1,2})$", "entries, or a level of one or two digits"),
    ]
    index: Annotated[
        str,
        Field(
            max_length=50,
            description="such as 067, x001/067, or 067.p/17 for a part",
            json_schema_extra={"format": "tile-index"},
        ),
        Shaped(r"^(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$", "such as 067, x001/067, or 067.p/17"),
    ]


class BatchBody(BaseModel):
    """Up to a thousand requests; each has one outcome, whatever becomes of the others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    requests: Annotated[
        # Each is judged by itself: for the body as a whole it is anything.
        list[Any],
        Field(
            min_length=1,
            max_length=1_000,
            description="each the body of its own route, and `type`: `user` or `host`",
            examples=[[{"type": "host", "public_key": "ssh-ed25519 AAAA…", "host": "web-1.acme.example"}]],
        ),
    ]
