"""What an operator can order: one model for each verb, and the object that its order signs.

The command object is rebuilt from the parsed model, so that what was signed, what is carried out and what is
recorded are one thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from appliance.identity.identity import MAX_SUBJECT, is_subject
from appliance.policy.document import PolicyFile
from appliance.policy.fields import (
    READ_WHOLE,
    CaField,
    CredentialIdField,
    CustomerField,
    DigestField,
    HostNameField,
    NameField,
)
from appliance.words import Shaped

MAX_LABELS = 64

_Algorithm = Literal["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-3072", "rsa-4096"]


def _check_sorted(names: list[str]) -> list[str]:
    if names != sorted(set(names)):
        raise ValueError("expected each once, sorted")
    return names


_SUBJECT: Final[JsonDict] = {"minLength": 1, "maxLength": MAX_SUBJECT, "format": "subject"}


def _check_subject(text: str) -> str:
    if not is_subject(text):
        raise ValueError("expected 1 to 255 printable characters")
    return text


class LabelBody(BaseModel):
    """A label of a host."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: NameField
    value: Annotated[str, Field(min_length=1, max_length=255)]


def _check_labels(labels: list[LabelBody]) -> list[LabelBody]:
    _check_sorted([label.name for label in labels])
    return labels


class AppliedFileBody(BaseModel):
    """A file of a policy, by the SHA-256 of its text; the order of files is part of what is signed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: DigestField


class CommandBody(BaseModel):
    """A command; ``verb`` says which."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    verb: str

    def to_command(self) -> dict[str, Any]:
        """Return the object whose canonical JSON an order signs: absent members are absent."""
        return self.model_dump(exclude_none=True)


class ApplyPolicy(CommandBody):
    """``policy.apply``: from here on decisions follow these files."""

    verb: Literal["policy.apply"] = "policy.apply"
    files: Annotated[list[AppliedFileBody], Field(min_length=1, max_length=1_000)]

    @classmethod
    def of(cls, files: Sequence[PolicyFile]) -> ApplyPolicy:
        """Return the command that applies these files."""
        digests = [
            AppliedFileBody(name=file.name, sha256=hashlib.sha256(file.text.encode()).hexdigest())
            for file in files
        ]
        return cls(files=digests)


class CreateCa(CommandBody):
    """``ca.create``: make a key in the token; as ``signing`` if nothing has to learn to trust it first."""

    verb: Literal["ca.create"] = "ca.create"
    name: CaField
    type: Literal["user", "host"]
    algorithm: _Algorithm
    customer: CustomerField | None = None
    phase: Literal["created", "signing"]

    PHASES: ClassVar = {"created": ("created",), "signing": ("created", "trusted", "signing")}


class RotateCa(CommandBody):
    """``ca.rotate``: make the next key of a CA in the token, beside the one that signs."""

    verb: Literal["ca.rotate"] = "ca.rotate"
    name: NameField
    algorithm: _Algorithm
    phase: Literal["created", "trusted"]

    PHASES: ClassVar = {"created": ("created",), "trusted": ("created", "trusted")}


class CaStep(CommandBody):
    """A step of one key of a CA, which is named by its fingerprint."""

    name: NameField
    key: Annotated[str, Shaped(r"^SHA256:[A-Za-z0-9+/]{43}$", "SHA256:… as ssh-keygen -l has it")]


class TrustCa(CaStep):
    """``ca.trust``: hosts are told to trust a key that was only created."""

    verb: Literal["ca.trust"] = "ca.trust"


class PromoteCa(CaStep):
    """``ca.promote``: this key signs from now on. ``now``: also if hosts may not have learnt of it yet."""

    verb: Literal["ca.promote"] = "ca.promote"
    now: Literal[True] | None = None


class RetireCa(CaStep):
    """``ca.retire``: hosts trust this key no more. ``force``: also if certificates of it are live."""

    verb: Literal["ca.retire"] = "ca.retire"
    force: Literal[True] | None = None


class AddHost(CommandBody):
    """``host.add``: register a host, or register it anew with other names and labels."""

    verb: Literal["host.add"] = "host.add"
    name: HostNameField
    customer: CustomerField
    names: Annotated[
        list[HostNameField],
        AfterValidator(_check_sorted),
        Field(min_length=1, max_length=256),
    ]
    labels: Annotated[list[LabelBody], AfterValidator(_check_labels), Field(max_length=MAX_LABELS)]


class RemoveHost(CommandBody):
    """``host.remove``: no more certificates for the host, and no host group that it is in."""

    verb: Literal["host.remove"] = "host.remove"
    name: HostNameField


class CreateCredential(CommandBody):
    """``credential.create``: an API credential; the secret stays with whoever made it."""

    verb: Literal["credential.create"] = "credential.create"
    id: CredentialIdField
    subject: Annotated[
        str,
        AfterValidator(_check_subject),
        Field(description="printable, as after the `api:` of its identity", json_schema_extra=_SUBJECT),
    ]
    kind: Literal["user", "service", "host"]
    secret_sha256: DigestField
    expires_s: Annotated[int, Field(ge=0, le=2**53 - 1), READ_WHOLE] | None = None
    uses: Annotated[int, Field(ge=1, le=2**31), READ_WHOLE] | None = None


class LiftLock(CommandBody):
    """``lock.lift``: what the lock is on can have certificates again; those it revoked stay revoked."""

    verb: Literal["lock.lift"] = "lock.lift"
    lock: Annotated[int, Field(ge=0, le=2**53 - 1, description="the entry that placed it"), READ_WHOLE]
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class CancelLeave(CommandBody):
    """``leave.cancel``: a leave holds no more, or with ``ends_s`` no longer than until then."""

    verb: Literal["leave.cancel"] = "leave.cancel"
    leave: Annotated[int, Field(ge=0, le=2**53 - 1, description="the entry that booked it"), READ_WHOLE]
    ends_s: Annotated[int, Field(ge=0, le=2**53 - 1, description="Unix seconds"), READ_WHOLE] | None = None
