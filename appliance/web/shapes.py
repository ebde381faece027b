"""What bodies, queries and answers have in common, for nouns whose models are in modules of their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE
from appliance.web.models import Sized


class Body(BaseModel):
    """A body or a path; what is unknown is refused."""

    model_config = ConfigDict(extra="forbid")


class Paged(Sized):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="how many at most")] = DEFAULT_PAGE


class Reply(BaseModel):
    """An answer; it has no member that is not described."""

    model_config = ConfigDict(extra="forbid")
