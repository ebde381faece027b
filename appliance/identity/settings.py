"""``[[identity.oidc]]`` and ``[[identity.ldap]]`` of chancery.toml (docs/identity.md).

Nothing in here is secret: of a password it says in which file it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from appliance.identity.identity import PROVIDER
from appliance.words import Shaped

# What identifies without a provider of the configuration, and how the ledger writes hosts.
RESERVED_NAMES: Final = frozenset({"mtls", "api", "local", "host"})
# Claims that the person, or whoever takes over an address, can change (OpenID Connect Core §5.7).
UNSTABLE_CLAIMS: Final = frozenset(
    {"email", "preferred_username", "upn", "unique_name", "name", "nickname", "phone_number"}
)
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_.]{0,63})\}")
_CLAIM: Final = re.compile(r"[a-zA-Z][A-Za-z0-9_:/.-]{0,127}")
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]


def _check_name(text: str) -> str:
    if PROVIDER.fullmatch(text) is None or text in RESERVED_NAMES:
        raise ValueError(
            f"got {text[:80]!r}, expected a lower-case name other than {', '.join(sorted(RESERVED_NAMES))}"
        )
    return text


def _is_server(url: SplitResult) -> bool:
    """Say whether a URL names a server, at a port that can be one, and nobody who logs in there."""
    return bool(url.hostname) and url.port != 0 and url.username is None  # port raises if it is none


def _check_https(text: str) -> str:
    url = urlsplit(text)
    if url.scheme != "https" or not _is_server(url) or url.query or url.fragment:
        raise ValueError(f"got {text[:80]!r}, expected a URL such as https://login.example.org/tenant")
    return text


def _check_ldap_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"ldaps", "ldap"} or not _is_server(url) or url.path or url.query:
        raise ValueError(f"got {text[:80]!r}, expected a URL such as ldaps://dc1.example.org")
    return text


def _check_secret(text: str) -> str:
    kind, _, where = text.partition(":")
    if kind not in {"file", "credential"} or not where:
        raise ValueError("expected file:PATH or credential:NAME; the secret itself does not belong in here")
    return text


def _check_subject(text: str) -> str:
    names = placeholders(text) if "{" in text else (text,)
    if unstable := sorted(UNSTABLE_CLAIMS.intersection(names)):
        raise ValueError(f"{unstable[0]} can change hands: name a claim that is for life, such as sub or oid")
    if "{" not in text:
        if _CLAIM.fullmatch(text) is None:
            raise ValueError(f"got {text[:80]!r}, expected the name of a claim, such as sub")
        return text
    between = _PLACEHOLDER.split(text)[2:-1:2]
    if not names or "{" in _PLACEHOLDER.sub("", text) or not all(":" in each for each in between):
        raise ValueError(
            "expected a template such as {project_id}:{ref_type}:{ref}, with a colon between its claims"
        )
    return text


def _check_login(text: str) -> str:
    if text.lower() == "mail":
        raise ValueError("an address can change hands: name what people are called by for life, such as uid")
    return text


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names of the claims that a template of a subject is made of."""
    return tuple(_PLACEHOLDER.findall(template))


def fill(template: str, values: dict[str, str]) -> str:
    """Return a template with its claims filled in."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


_Name = Annotated[str, AfterValidator(_check_name)]
_HttpsUrl = Annotated[str, AfterValidator(_check_https), Field(max_length=500)]
_Attribute = Annotated[str, Shaped(r"^[A-Za-z][A-Za-z0-9-]{0,63}$", "the name of an attribute, such as uid")]
_Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OidcTable(_Table):
    """``[[identity.oidc]]``: a provider whose signed tokens identify people, or workloads."""

    name: _Name
    issuer: _HttpsUrl
    audience: Annotated[_Text, Field(description="that tokens must be for; of people, the client id")]
    kind: Literal["user", "service"] = "user"
    subject: Annotated[_Text, AfterValidator(_check_subject), Field(description="claim or template")] = "sub"
    groups: Annotated[str | None, Field(max_length=128, description="claim that lists groups")] = None
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    must_have: Annotated[tuple[_Text, ...], Field(description="claims without which a token is refused")] = ()
    mfa_amr: Annotated[tuple[_Text, ...], Field(description="values of amr that are multi-factor")] = ("mfa",)
    mfa_acr: Annotated[tuple[_Text, ...], Field(description="values of acr that are multi-factor")] = ()
    scopes: Annotated[tuple[_Text, ...], Field(description="that `chancery login` asks for")] = ("openid",)
    skew_s: Annotated[int, Field(ge=0, le=300, description="between the provider's clock and ours")] = 60
    max_age_s: Annotated[int, Field(ge=60, le=604_800, description="of a token since it was issued")] = 86_400
    ca: Annotated[Path | None, Field(description="CAs of the provider's TLS, beside the system's")] = None
    jwks_uri: Annotated[_HttpsUrl | None, Field(description="in the place of discovery")] = None

    @model_validator(mode="after")
    def _check_kind(self) -> OidcTable:
        if self.kind == "service" and self.groups is not None:
            raise ValueError("a service has no groups: leave groups out")
        if "openid" not in self.scopes:
            raise ValueError("scopes: openid must be among them")
        return self


class LdapTable(_Table):
    """``[[identity.ldap]]``: a directory that people show their password to."""

    name: _Name
    url: Annotated[str, AfterValidator(_check_ldap_url), Field(max_length=500)]
    type: Literal["ldap", "active-directory"] = "ldap"
    ca: Annotated[Path | None, Field(description="CAs of the directory's TLS; default: the system's")] = None
    bind_dn: Annotated[_Text, Field(description="who looks people up")]
    password: Annotated[str, AfterValidator(_check_secret), Field(description="of bind_dn: where it is")]
    base: Annotated[_Text, Field(description="where people are")]
    filter: Annotated[
        str, Field(max_length=500), Shaped(r"^\(.*\)$", "a filter such as (objectClass=person)")
    ] = "(objectClass=person)"
    login: Annotated[_Attribute, AfterValidator(_check_login)] = ""
    group_base: Annotated[str | None, Field(max_length=500, description="default: base")] = None
    group_name: _Attribute = "cn"
    session_s: Annotated[int, Field(ge=60, le=43_200, description="that one password is good for")] = 3_600
    cache_s: Annotated[int, Field(ge=0, le=600, description="that an answer is good for")] = 60
    timeout_s: Annotated[float, Field(ge=0.5, le=60, description="for one answer")] = 5

    @property
    def login_attribute(self) -> str:
        """Return the attribute that holds what people are called."""
        return self.login or ("sAMAccountName" if self.type == "active-directory" else "uid")


class IdentityTable(_Table):
    """``[identity]``: the identity providers."""

    oidc: Annotated[tuple[OidcTable, ...], Field(max_length=32)] = ()
    ldap: Annotated[tuple[LdapTable, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _check_unique(self) -> IdentityTable:
        names = [*(each.name for each in self.oidc), *(each.name for each in self.ldap)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]} is the name of two providers")
        audiences = [(each.issuer, each.audience) for each in self.oidc]
        if len(set(audiences)) < len(audiences):
            raise ValueError("two of [[identity.oidc]] have one issuer and audience: whose would a token be?")
        return self
