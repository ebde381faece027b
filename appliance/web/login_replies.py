"""What the routes for logging in answer with, as :mod:`appliance.web.replies` has it for the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import Maybe
from appliance.web.replies import Moment


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IdentityProviderShown(_Reply):
    """An identity provider that people log in at."""

    name: Annotated[str, Field(description="what stands before its subjects and groups")]
    type: Literal["oidc", "ldap"]
    issuer: Maybe[Annotated[str, Field(description="of an OpenID provider")]]
    client_id: Maybe[Annotated[str, Field(description="that tokens must be for")]]
    scopes: Maybe[list[str]]


class IdentityProviders(_Reply):
    """The identity providers that people log in at."""

    providers: list[IdentityProviderShown]


class SessionOpened(_Reply):
    """A session: a bearer credential of limited life."""

    credential: Annotated[str, Field(description="for Authorization: Bearer …")]
    identity: Annotated[str, Field(description="provider:subject")]
    expires: Moment
