"""The identity that every decision is about.

Subjects and groups always carry the name of the provider that vouches for them (``mtls:alice``,
``oidc:dba``): two providers that know an ``alice`` know two identities, until a policy's ``[[person]]``
says that they are one human being.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

Kind = Literal["user", "service", "host"]

PROVIDER: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
MAX_SUBJECT: Final = 255


class ClaimData(TypedDict):
    """A claim as the ledger records it."""

    name: str
    value: str


@with_config(ConfigDict(extra="forbid", strict=True))
class IdentityData(TypedDict):
    """An identity as the ledger and the authority's socket carry it (docs/formats/entries.md)."""

    provider: str
    subject: str
    kind: Kind
    groups: list[str]
    claims: list[ClaimData]
    mfa: bool
    authenticated_ms: int
    source_address: NotRequired[str]


_IDENTITY: Final = TypeAdapter(IdentityData)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A requester as one identity provider knows it.

    ``groups`` carry their provider's name. ``claims`` are the facts relied on, such as the id of the API
    credential that was shown. ``source_address`` is the address of the connection, absent on a local one.
    """

    provider: str
    subject: str
    kind: Kind
    groups: frozenset[str] = frozenset()
    claims: tuple[tuple[str, str], ...] = ()
    mfa: bool = False
    authenticated_ms: int
    source_address: str | None = None

    def __str__(self) -> str:
        """Return ``provider:subject``, as policies and reports write it."""
        return f"{self.provider}:{self.subject}"

    def claim(self, name: str) -> str | None:
        """Return the value of the claim called ``name``, if the identity carries one."""
        return next((value for key, value in self.claims if key == name), None)

    def to_data(self) -> IdentityData:
        """Return the identity as the ledger records it."""
        data = IdentityData(
            provider=self.provider,
            subject=self.subject,
            kind=self.kind,
            groups=sorted(self.groups),
            claims=[ClaimData(name=name, value=value) for name, value in sorted(self.claims)],
            mfa=self.mfa,
            authenticated_ms=self.authenticated_ms,
        )
        if self.source_address is not None:
            data["source_address"] = self.source_address
        return data

    @classmethod
    def from_data(cls, data: object) -> Identity:
        """Parse what :meth:`to_data` made; strict, because it arrives over a socket.

        Raises:
            pydantic.ValidationError: it is not of that shape.
        """
        checked = _IDENTITY.validate_python(data)
        return cls(
            provider=checked["provider"],
            subject=checked["subject"],
            kind=checked["kind"],
            groups=frozenset(checked["groups"]),
            claims=tuple((claim["name"], claim["value"]) for claim in checked["claims"]),
            mfa=checked["mfa"],
            authenticated_ms=checked["authenticated_ms"],
            source_address=checked.get("source_address"),
        )


def kind_of(name: str) -> Kind | None:
    """Return the kind that a ``provider:subject`` tells by its form; None if its provider says it each time.

    A client certificate with a ``spiffe://`` URI is a service's, any other a user's; a local one is a user.
    """
    provider, _, subject = name.partition(":")
    if provider not in {"mtls", "local"}:
        return None
    return "service" if provider == "mtls" and subject.startswith("spiffe://") else "user"


def grantee_of(data: Mapping[str, Any]) -> IdentityData:
    """Return, from an intent's data, whom its certificate is for: who asked, or on whose behalf he did."""
    grantee: IdentityData = data.get("on_behalf_of", data["identity"])
    return grantee


def check_reference(text: str) -> str:
    """Check that ``text`` is a ``provider:subject`` (or ``provider:group``) and return it.

    Raises:
        ValueError: it is not.
    """
    provider, colon, subject = text.partition(":")
    if not colon or PROVIDER.fullmatch(provider) is None or not is_subject(subject):
        raise ValueError(f"got {text[:80]!r}, expected provider:subject, such as mtls:alice or oidc:dba")
    return text


def is_subject(text: str) -> bool:
    """Say whether ``text`` can be a subject: printable, without surrounding space, not too long."""
    return 0 < len(text) <= MAX_SUBJECT and text.isprintable() and text == text.strip()
