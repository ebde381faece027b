"""The values that a policy's keys take, each with its check, as types of pydantic models."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from appliance.durations import parse_duration
from appliance.identity.identity import check_reference
from appliance.networks import parse_networks
from appliance.policy.names import (
    check_ca,
    check_customer,
    check_host_group,
    check_host_name,
    check_login,
    check_name,
)
from appliance.ssh.keys import PublicKey, check_key_type, parse_public_key_line
from appliance.ssh.options import FORCE_COMMAND, check_critical_options

MAX_TTL_S: Final = 366 * 86_400
# Twice as long as a host bundle is fresh: by then every host that is well has had one that names the key.
DEFAULT_TRUST_WAIT_S: Final = 12 * 3_600
MAX_TRUST_WAIT_S: Final = 90 * 86_400
DEFAULT_USER_TTL_S: Final = 8 * 3_600
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

# What a grant's `permit` and a request's may name, and the extension each one stands for. `no-touch-required`
# is missing on purpose: it takes a protection away from a hardware key.
PERMITS: Final = {
    "X11-forwarding": "permit-X11-forwarding",
    "agent-forwarding": "permit-agent-forwarding",
    "port-forwarding": "permit-port-forwarding",
    "pty": "permit-pty",
    "user-rc": "permit-user-rc",
}


def _check_permit(name: str) -> str:
    if name not in PERMITS:
        raise ValueError(f"got {name[:40]!r}, expected one of {', '.join(PERMITS)}")
    return name


def _check_ttl(seconds: int) -> int:
    if not 60 <= seconds <= MAX_TTL_S:
        raise ValueError(f"got {seconds} s, expected 1m to {MAX_TTL_S // 86_400}d")
    return seconds


def _check_trust_wait(seconds: int) -> int:
    if seconds > MAX_TRUST_WAIT_S:
        raise ValueError(f"got {seconds} s, expected 1s to {MAX_TRUST_WAIT_S // 86_400}d")
    return seconds


def _check_command(command: str) -> str:
    check_critical_options([(FORCE_COMMAND, command)])
    return command


def _parse_key(line: object) -> PublicKey:
    if not isinstance(line, str):
        # ValueError, not TypeError: pydantic reports the former with its place in the document.
        raise ValueError("expected a public key line: type, base64, comment")  # noqa: TRY004
    return parse_public_key_line(line)


def _check_key_type(name: str) -> str:
    check_key_type(name)
    return name


def _parse_date(value: object) -> date:
    """Parse a whole day, as a string or as TOML's own date."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return date.fromisoformat(value)
    if type(value) is date:  # a datetime is one too, and is more than a day says
        return value
    raise ValueError("expected a day such as 2026-01-31")


def _parse_source(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of CIDR blocks, such as 10.8.0.0/16")
    return parse_networks(value)


def no_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check that no value stands there twice."""
    if len(set(values)) != len(values):
        raise ValueError("got the same value twice")
    return values


def _seconds(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 8h")  # noqa: TRY004 - as above
    return parse_duration(value)


Name = Annotated[str, AfterValidator(check_name)]
CaName = Annotated[str, AfterValidator(check_ca)]
CustomerName = Annotated[str, AfterValidator(check_customer)]
HostGroupName = Annotated[str, AfterValidator(check_host_group)]
HostName = Annotated[str, AfterValidator(check_host_name)]
Login = Annotated[str, AfterValidator(check_login)]
Reference = Annotated[str, AfterValidator(check_reference)]
Permit = Annotated[str, AfterValidator(_check_permit)]
Key = Annotated[PublicKey, BeforeValidator(_parse_key)]
Source = Annotated[tuple[str, ...], BeforeValidator(_parse_source)]
Ttl = Annotated[int, BeforeValidator(_seconds), AfterValidator(_check_ttl)]
TrustWait = Annotated[int, BeforeValidator(_seconds), AfterValidator(_check_trust_wait)]
Command = Annotated[str, AfterValidator(_check_command)]
Day = Annotated[date, BeforeValidator(_parse_date)]
KeyType = Annotated[str, AfterValidator(_check_key_type)]
Age = Annotated[int, BeforeValidator(_seconds)]

# Of the document's tables. pydantic gives `Field(...)` of a dataclass its meaning; the cap is far above any
# policy a person can read.
TABLE: Final = ConfigDict(extra="forbid", strict=False, arbitrary_types_allowed=True)
MANY: Final = Field(max_length=100_000)
