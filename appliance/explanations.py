"""What is asked of an explanation of access: one model for web tier, authority and command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import MomentField

_Word = Annotated[str, Field(min_length=1, max_length=300)]


class ExplainBody(BaseModel):
    """Whose access, where, as whom and when; what is not named is any, and the subject is whoever asks."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject: _Word | None = None
    host: _Word | None = None
    host_group: _Word | None = None
    login: _Word | None = None
    at: MomentField | None = None
    groups: Annotated[list[_Word], Field(max_length=150)] | None = None
