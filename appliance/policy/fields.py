"""Names and the like as fields of pydantic models: checked as policies check them, and described in OpenAPI.

A description says as much as JSON Schema can. What it cannot say has a ``format`` of its own, which tells a
reader, and a generator of examples, where to look.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from appliance.durations import parse_duration
from appliance.identity.identity import MAX_SUBJECT, check_reference
from appliance.moments import parse_moment_ms
from appliance.networks import parse_networks
from appliance.policy.names import (
    check_ca,
    check_customer,
    check_host_group,
    check_host_name,
    check_login,
    check_name,
)
from appliance.policy.values import MAX_TTL_S, PERMITS
from appliance.ssh.keys import fingerprint, parse_fingerprint, parse_public_key_line
from appliance.words import Shaped

KEY_FORMAT: Final = "ssh-public-key"
CERTIFICATE_FORMAT: Final = "ssh-certificate"
TTL_FORMAT: Final = "ttl"
NETWORK_FORMAT: Final = "cidr"
REFERENCE_FORMAT: Final = "identity"
# 256 bits in base64: the last digit has four of them.
FINGERPRINT: Final = r"^SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]$"
CURSOR: Final = "a cursor that an earlier page gave"
_T = TypeVar("_T")
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def _check_permit(name: str) -> str:
    if name not in PERMITS:
        raise ValueError(f"got {name[:40]!r}, expected one of {', '.join(PERMITS)}")
    return name


def _check_ttl(text: str) -> str:
    seconds = parse_duration(text)
    if seconds > MAX_TTL_S:
        raise ValueError(f"got {text}, expected at most {MAX_TTL_S // 86_400}d")
    return text


def _check_networks(blocks: list[str]) -> list[str]:
    return list(parse_networks(blocks))


def _check_moment(text: str) -> str:
    parse_moment_ms(text)
    return text


def _read_key(text: str) -> str:
    """Read a key as its fingerprint, given that or the public key itself."""
    if text.startswith("SHA256:"):
        parse_fingerprint(text)
        return text
    return fingerprint(parse_public_key_line(text))


def _check_name_or_reference(name: str) -> str:
    return check_reference(name) if ":" in name else check_name(name)


def leave_out_null(schema: dict[str, Any]) -> None:
    """Describe what need not be there as what it is when it is."""
    schema.pop("default", None)
    (described,) = [each for each in schema.pop("anyOf") if each.get("type") != "null"]
    schema |= described


def _read_whole(number: object) -> object:
    """Read 17.0 as 17: they are one JSON number (RFC 8259 §6), and one in RFC 8785 too."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _text(pattern: str, example: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": f"such as {example}", **more})


NameField = Annotated[str, AfterValidator(check_name), _text(r"^[a-z0-9][a-z0-9._-]{0,62}$", "acme-users")]
CaField = Annotated[
    str,
    AfterValidator(check_ca),
    _text(r"^[a-z0-9][a-z0-9._-]{0,62}$", "acme-users, and not one that ends in .sig"),
]
CustomerField = Annotated[str, AfterValidator(check_customer), _text(r"^[a-z0-9][a-z0-9._-]{0,62}$", "acme")]
HostGroupField = Annotated[
    str, AfterValidator(check_host_group), _text(r"^[a-z0-9][a-z0-9.-]{0,62}$", "acme-eu-db")
]
LoginField = Annotated[
    str, AfterValidator(check_login), _text(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}\$?$", "postgres")
]
HostNameField = Annotated[
    str,
    AfterValidator(check_host_name),
    _text(rf"^{_LABEL}(\.{_LABEL})*$", "db-7.acme.example", maxLength=253),
]
TtlField = Annotated[
    str, AfterValidator(_check_ttl), _text(r"^[1-9][0-9]{0,8}[smhdw]$", "8h", format=TTL_FORMAT)
]
PermitField = Annotated[
    str, AfterValidator(_check_permit), WithJsonSchema({"type": "string", "enum": list(PERMITS)})
]
MomentField = Annotated[
    str,
    AfterValidator(_check_moment),
    Field(
        max_length=40,
        description="RFC 3339, such as 2026-01-31T08:00:00Z; from 1970 until 2499",
        json_schema_extra={"format": "date-time"},
    ),
]
SerialField = Annotated[
    str,
    Field(description="in decimal"),
    Shaped(r"^[1-9][0-9]{0,19}$", "a serial in decimal"),
]
CredentialIdField = Annotated[str, Shaped(r"^[0-9a-f]{16}$", "an id of 16 hexadecimal digits")]
DigestField = Annotated[str, Shaped(r"^[0-9a-f]{64}$", "a SHA-256 of 64 hexadecimal digits")]
# What need not be there, and is absent then: a query cannot say null, and a reply does not.
Maybe = Annotated[_T | None, Field(default=None, json_schema_extra=leave_out_null)]
_REFERENCE: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 3,
    "maxLength": MAX_SUBJECT + 33,
    "format": REFERENCE_FORMAT,
}
ReferenceField = Annotated[
    str,
    AfterValidator(check_reference),
    WithJsonSchema(_REFERENCE | {"description": "provider:subject, such as oidc:ada"}),
]
GroupField = Annotated[
    str,
    AfterValidator(_check_name_or_reference),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[a-z0-9][a-z0-9._-]{0,62}$"}, _REFERENCE],
            "description": "a group of the policy, or a provider's, such as oidc:dba",
        }
    ),
]
SubjectField = Annotated[
    str,
    AfterValidator(_check_name_or_reference),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[a-z0-9][a-z0-9._-]{0,62}$"}, _REFERENCE],
            "description": "provider:subject, such as oidc:ada, or a person of the policy",
        }
    ),
]
KeyField = Annotated[
    str,
    AfterValidator(_read_key),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": FINGERPRINT},
                {"type": "string", "maxLength": 12_288, "format": KEY_FORMAT},
            ],
            "description": "a public key, as in an id_….pub file, or its fingerprint as ssh-keygen -l has it",
        }
    ),
]
# Comes last among the annotations of an int, so that its bounds are described.
READ_WHOLE: Final = BeforeValidator(_read_whole)
_Network = Annotated[str, WithJsonSchema({"type": "string", "format": NETWORK_FORMAT})]
NetworksField = Annotated[list[_Network], AfterValidator(_check_networks)]
