"""What callers ask for: the bodies of the issuing routes, and the same requests parsed.

One model serves three readers: the web tier (it validates a body and describes it in OpenAPI), the
authority (it does not believe the web tier and validates again) and the ledger (``to_data`` is the
``request`` member of an intent: what was asked for, parsed, defaults absent, sets sorted).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.durations import parse_duration
from appliance.errors import malformed
from appliance.moments import parse_moment_ms
from appliance.networks import MAX_NETWORKS, parse_networks
from appliance.policy.fields import (
    KEY_FORMAT,
    CredentialIdField,
    CustomerField,
    DigestField,
    HostGroupField,
    HostNameField,
    LoginField,
    MomentField,
    NameField,
    NetworksField,
    PermitField,
    TtlField,
)
from appliance.policy.values import PERMITS
from appliance.ssh.keys import PublicKey, format_public_key_line, parse_public_key_line
from appliance.words import Shaped, explain

_Model = TypeVar("_Model", bound=BaseModel)

MAX_NAMES: Final = 256
MAX_KEY_LINE: Final = 12_288


_Key = Annotated[
    str,
    Field(
        max_length=MAX_KEY_LINE,
        description="the public key to certify, as in an id_….pub file",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJacmuRzWoMr/iyiJkPXJamPrJgj0yYK1zXyHneiTbzR alice"],
        json_schema_extra={"format": KEY_FORMAT},
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class IdempotencyBody(_Body):
    """What a repeated request is known by: SHA-256 in hex of its key, and of method, path and body."""

    key: DigestField
    request: DigestField


class UserCertificateBody(_Body):
    """Ask for user certificates; what is not named is everything that the caller's grants give."""

    public_key: _Key
    hosts: Annotated[
        list[HostNameField] | None,
        Field(default=None, min_length=1, max_length=MAX_NAMES, description="registered hosts to log in to"),
    ]
    host_groups: Annotated[
        list[HostGroupField] | None,
        Field(default=None, min_length=1, max_length=MAX_NAMES, description="host groups to log in to"),
    ]
    logins: Annotated[
        list[LoginField] | None,
        Field(default=None, min_length=1, max_length=MAX_NAMES, description="accounts to log in as"),
    ]
    customer: Annotated[
        CustomerField | None, Field(default=None, description="only what belongs to this customer")
    ]
    grant: Annotated[
        NameField | None,
        Field(default=None, description="the grant to rest on"),
    ]
    ttl: Annotated[TtlField | None, Field(default=None, description="at most what the grant gives")]
    start: Annotated[
        MomentField | None,
        Field(
            default=None,
            description="from this moment on, at most a day ahead, or from when a grant opens after it",
        ),
    ]
    source: Annotated[
        NetworksField | None,
        Field(
            default=None,
            min_length=1,
            max_length=MAX_NETWORKS,
            description="CIDR blocks to be used from",
            examples=[["10.8.0.0/16"]],
        ),
    ]
    permit: Annotated[
        list[PermitField] | None,
        Field(default=None, max_length=len(PERMITS), description="extensions; absent is all of the grant's"),
    ]
    reason: Annotated[
        str | None, Field(default=None, min_length=1, max_length=500, description="why, for the record")
    ]
    on_behalf_of: Annotated[
        # What can be a name at all is for the directory to say.
        Annotated[str, Shaped(r"^[a-z][a-z0-9-]{0,31}:.{1,255}$", "provider:name, such as ldap:ada")] | None,
        Field(
            default=None,
            description="for this person, whom a directory knows; for delegates that a grant names",
            examples=["ldap:ada"],
        ),
    ]


class HostCertificateBody(_Body):
    """Ask for the certificate of a registered host's key."""

    public_key: _Key
    host: Annotated[HostNameField, Field(description="its registered name")]
    ttl: Annotated[TtlField | None, Field(default=None, description="30d at most, and without it")]


_Reason = Annotated[str, Field(min_length=1, max_length=500, examples=["laptop lost"])]


class CredentialRevocationBody(_Body):
    """Revoke an API credential."""

    id: CredentialIdField
    reason: _Reason


def check_body(model: type[_Model], data: object) -> _Model:
    """Check data against a model and return it as that.

    Raises:
        Refusal: ``malformed-request``; names the field and what was expected of it.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise malformed(field, explain(first)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRequest:
    """A parsed request for user certificates: an empty tuple is what was not named, but ``permit`` can be."""

    public_key: PublicKey
    hosts: tuple[str, ...] = ()
    host_groups: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    customer: str | None = None
    grant: str | None = None
    ttl_s: int | None = None
    start_s: int | None = None
    source: tuple[str, ...] | None = None
    permit: tuple[str, ...] | None = None
    reason: str | None = None

    def to_data(self) -> dict[str, object]:
        """Return the request as the ledger records it."""
        named = {"hosts": self.hosts, "host_groups": self.host_groups, "logins": self.logins}
        data: dict[str, object] = {name: list(values) for name, values in named.items() if values}
        data["public_key"] = format_public_key_line(self.public_key)
        optional = {
            "customer": self.customer,
            "grant": self.grant,
            "ttl_s": self.ttl_s,
            "start_s": self.start_s,
            "reason": self.reason,
        }
        data |= {name: value for name, value in optional.items() if value is not None}
        # Networks are in the order of addresses in a certificate; here they are a set, sorted as text.
        sets = {"source": self.source, "permit": self.permit}
        return data | {name: sorted(values) for name, values in sets.items() if values is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRequest:
    """A parsed request for a host certificate."""

    public_key: PublicKey
    host: str
    ttl_s: int | None = None

    def to_data(self) -> dict[str, object]:
        """Return the request as the ledger records it."""
        data: dict[str, object] = {"public_key": format_public_key_line(self.public_key), "host": self.host}
        return data if self.ttl_s is None else data | {"ttl_s": self.ttl_s}


def request_from_data(data: Mapping[str, Any]) -> UserRequest | HostRequest:
    """Parse what ``to_data`` made, as the ledger has it.

    Raises:
        SshFormatError, ValueError, KeyError, TypeError: it is nothing that ``to_data`` makes.
    """
    key = parse_public_key_line(data["public_key"])
    if "host" in data:
        request: UserRequest | HostRequest = HostRequest(
            public_key=key, host=data["host"], ttl_s=data.get("ttl_s")
        )
    else:
        request = UserRequest(
            public_key=key,
            hosts=tuple(data.get("hosts", ())),
            host_groups=tuple(data.get("host_groups", ())),
            logins=tuple(data.get("logins", ())),
            customer=data.get("customer"),
            grant=data.get("grant"),
            ttl_s=data.get("ttl_s"),
            start_s=data.get("start_s"),
            source=parse_networks(data["source"]) if "source" in data else None,
            permit=tuple(data["permit"]) if "permit" in data else None,
            reason=data.get("reason"),
        )
    if request.to_data() != data:
        raise ValueError("the request has members, or an order of them, that no request has")
    return request


def parse_user_request(body: UserCertificateBody) -> UserRequest:
    """Parse a body that is valid in form.

    Raises:
        UnacceptableKey: the public key is of a kind that is not certified.
        SshFormatError: it is not a public key.
    """
    return UserRequest(
        public_key=parse_public_key_line(body.public_key),
        hosts=_as_set(body.hosts),
        host_groups=_as_set(body.host_groups),
        logins=_as_set(body.logins),
        customer=body.customer,
        grant=body.grant,
        ttl_s=None if body.ttl is None else parse_duration(body.ttl),
        start_s=None if body.start is None else parse_moment_ms(body.start) // 1000,
        source=None if body.source is None else tuple(body.source),
        permit=None if body.permit is None else _as_set(body.permit),
        reason=body.reason,
    )


def parse_host_request(body: HostCertificateBody) -> HostRequest:
    """Parse a body that is valid in form; raises as :func:`parse_user_request`."""
    return HostRequest(
        public_key=parse_public_key_line(body.public_key),
        host=body.host,
        ttl_s=None if body.ttl is None else parse_duration(body.ttl),
    )


def _as_set(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(names or ())))
