"""The errors of the appliance: one root, and refusals that know their problem type.

A :class:`Refusal` crosses the socket between web tier and authority as plain data and is rendered there
as an RFC 9457 problem; its ``slug`` is the last part of the problem's type. Nothing here knows HTTP:
statuses live in :mod:`appliance.web.problems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SLUGS: Final = frozenset(
    {
        "malformed-request",
        "unauthenticated",
        "policy-denied",
        "not-found",
        "method-not-allowed",
        "conflict",
        "too-large",
        "unsupported-media-type",
        "unacceptable-key",
        "rate-limited",
        "internal",
        "overloaded",
        "hsm-unavailable",
        "ledger-unavailable",
        "identity-unavailable",
        "issuance-halted",
    }
)


class ChanceryError(Exception):
    """Root of the appliance's errors: what happened, got and expected, what to do."""


class ConfigError(ChanceryError):
    """The configuration or the data directory cannot be used as it is."""


class Refusal(ChanceryError):
    """A request that is not carried out, with a reason its caller may read.

    ``slug`` names the problem type, ``detail`` is one or two sentences for a person, ``members`` are the
    problem's extension members (``field``, ``rule``, ``allowed``, ``retry_after_s`` …), JSON values all.
    """

    def __init__(self, slug: str, detail: str, **members: object) -> None:
        if slug not in SLUGS:
            raise ValueError(f"unknown problem type {slug!r}")
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.members = members

    def to_wire(self) -> dict[str, object]:
        """Return the refusal as plain data for the socket."""
        return {"slug": self.slug, "detail": self.detail, "members": self.members}

    @classmethod
    def from_wire(cls, data: Mapping[str, object]) -> Refusal:
        """Rebuild what :meth:`to_wire` made; the peer is our own process, so a bad shape is our bug."""
        members = data["members"]
        if not isinstance(members, dict):
            raise TypeError("a refusal's members must be an object")
        return cls(str(data["slug"]), str(data["detail"]), **members)


def malformed(field: str, expected: str) -> Refusal:
    """Return the refusal of a request whose ``field`` is not what was ``expected``."""
    return Refusal("malformed-request", f"{field}: {expected}", field=field)
