"""What callers ask to be cut off: the bodies of revocations and locks. Each names exactly one thing."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.policy.fields import (
    GroupField,
    HostNameField,
    KeyField,
    Maybe,
    NameField,
    ReferenceField,
    SerialField,
)
from appliance.policy.locks import KINDS, Target
from appliance.words import Shaped

_ONE_BESIDE_REASON: Final[dict[str, Any]] = {"minProperties": 2, "maxProperties": 2}


class _CutBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_ONE_BESIDE_REASON)
    NAMES: ClassVar[tuple[str, ...]]

    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["laptop lost"])]

    @model_validator(mode="after")
    def _name_one(self) -> Self:
        if len(self.model_fields_set) != 2 or None in self.model_dump(include=self.model_fields_set).values():
            raise ValueError(f"expected exactly one of {', '.join(self.NAMES)}")
        return self

    @property
    def named(self) -> tuple[str, str]:
        """Which member is there besides the reason, and its value."""
        (name,) = self.model_fields_set - {"reason"}
        return name, str(getattr(self, name))


class RevocationBody(_CutBody):
    """Revoke one certificate, all for a key and the key itself, or all of one requester."""

    NAMES = ("serial", "key_id", "key", "subject")

    serial: Maybe[Annotated[SerialField, Field(examples=["281474976710673"])]]
    key_id: Maybe[
        Annotated[
            str,
            Field(description="as sshd logs it"),
            Shaped(r"^[!-~]{1,200}$", "a key id as sshd logs it, without spaces"),
        ]
    ]
    key: Maybe[KeyField]
    subject: Maybe[ReferenceField]


class LockBody(_CutBody):
    """Lock one thing: it gets no more certificates, and those it has are revoked."""

    NAMES = KINDS

    person: Maybe[Annotated[NameField, Field(description="of the policy: all of his accounts")]]
    identity: Maybe[ReferenceField]
    group: Maybe[GroupField]
    service: Maybe[ReferenceField]
    host: Maybe[Annotated[HostNameField, Field(description="its certificates")]]
    key: Maybe[KeyField]
    ca: Maybe[Annotated[NameField, Field(description="all that any of its keys signs")]]

    @property
    def target(self) -> Target:
        """What is to be locked."""
        kind, name = self.named
        return Target(next(each for each in KINDS if each == kind), name)
