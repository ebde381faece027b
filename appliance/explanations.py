"""What is asked of an explanation of access: one model for web tier, authority and command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from appliance.errors import Refusal
from appliance.policy.fields import (
    HostGroupField,
    HostNameField,
    LoginField,
    MomentField,
    ReferenceField,
    SubjectField,
)


class ExplainBody(BaseModel):
    """Whose access, where, as whom and when; what is not named is any, and the subject is whoever asks.

    A subject without a provider is a person of the policy: all of his accounts.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject: SubjectField | None = None
    host: HostNameField | None = None
    host_group: HostGroupField | None = None
    login: LoginField | None = None
    at: MomentField | None = None
    groups: Annotated[list[ReferenceField], Field(max_length=150)] | None = None


def no_person(name: str) -> Refusal:
    """Return the refusal of a question about a person whom the policy does not have."""
    detail = (
        f"there is no person {name} in the policy of that moment; one account is written provider:subject"
    )
    return Refusal("not-found", detail)
