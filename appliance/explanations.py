"""What is asked of an explanation of access: one model for web tier, authority and command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import HostGroupField, HostNameField, LoginField, MomentField, ReferenceField


class ExplainBody(BaseModel):
    """Whose access, where, as whom and when; what is not named is any, and the subject is whoever asks."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject: ReferenceField | None = None
    host: HostNameField | None = None
    host_group: HostGroupField | None = None
    login: LoginField | None = None
    at: MomentField | None = None
    groups: Annotated[list[ReferenceField], Field(max_length=150)] | None = None
