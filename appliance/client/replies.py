"""What the service answers, as far as an engineer's side needs it: checked here, and believed after that.

Members that are not known are left: a service may be newer than who asks it.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.moments import parse_moment_ms
from appliance.ssh.line import parse_line

_MAX_CERTIFICATE: Final = 65_536


def _check_moment(text: str) -> str:
    parse_moment_ms(text)
    return text


def _parse_certificate(line: str) -> bytes:
    return parse_line(line, what="certificate", limit=_MAX_CERTIFICATE)[1]


def _check_certificate(line: str) -> str:
    _parse_certificate(line)
    return line


Moment = Annotated[str, AfterValidator(_check_moment)]


class Reply(BaseModel):
    """An answer of the service."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class Provider(Reply):
    """An identity provider; what is of OpenID providers alone is empty for others."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    type: str
    issuer: str = ""
    client_id: str = ""
    scopes: list[str] = ["openid"]


class Providers(Reply):
    """``GET /v1/providers``."""

    providers: list[Provider]


class Session(Reply):
    """``POST /v1/sessions``."""

    credential: Annotated[str, Field(pattern=r"^[!-~]+$")]
    expires: Moment


class WhoAmI(Reply):
    """``GET /v1/whoami``."""

    identity: str


class Certificate(Reply):
    """One of the certificates that were asked for; what else is said of it is kept for whom it is shown."""

    model_config = ConfigDict(extra="allow")

    certificate: Annotated[str, AfterValidator(_check_certificate)]
    serial: str
    principals: list[str]
    valid_before: Moment

    @property
    def blob(self) -> bytes:
        """Return the certificate as an agent takes it."""
        return _parse_certificate(self.certificate)

    @property
    def ends_s(self) -> int:
        """Return its end, in Unix seconds."""
        return parse_moment_ms(self.valid_before) // 1000


class Certificates(Reply):
    """``POST /v1/certificates/user``."""

    certificates: list[Certificate]


class CaKey(Reply):
    """A key of a CA."""

    ca: Annotated[str, Field(pattern=r"^[!-~]+$")]
    type: str
    public_key: Annotated[str, Field(pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$")]
    phase: str
    halted: bool


class CaKeys(Reply):
    """``GET /v1/cas``."""

    cas: list[CaKey]
