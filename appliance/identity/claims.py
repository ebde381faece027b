"""From the claims of a verified token to an identity. Pure.

OpenID Connect Core 1.0 §2 for what claims mean, RFC 8176 for ``amr``. What a claim has in another shape than
the standard says is refused, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from appliance.identity.errors import InvalidCredential
from appliance.identity.identity import Identity, is_subject
from appliance.identity.settings import OidcTable, fill, placeholders

MAX_GROUPS: Final = 500
MAX_VALUES: Final = 32
# Of a template's claims: what cannot be taken for the colon between two of them.
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]{0,199}")


def check_times(claims: Mapping[str, Any], provider: OidcTable, now_s: int) -> int:
    """Check ``exp``, ``nbf`` and ``iat`` (RFC 7519 §4.1); return when the token is good for nothing any more.

    In Unix seconds: that is its end, or ``max_age_s`` after it was issued.

    Raises:
        InvalidCredential: it has ended, has not begun, or is too old.
    """
    ends_s, issued_s = _moment(claims, "exp"), _moment(claims, "iat")
    begins_s = _moment(claims, "nbf") if "nbf" in claims else issued_s
    if now_s >= ends_s + provider.skew_s:
        raise InvalidCredential(f"the token ended at {ends_s}")
    if max(begins_s, issued_s) > now_s + provider.skew_s:
        raise InvalidCredential(f"the token begins at {max(begins_s, issued_s)}")
    if now_s - issued_s > provider.max_age_s + provider.skew_s:
        raise InvalidCredential(f"the token was issued at {issued_s}, more than {provider.max_age_s} s ago")
    return min(ends_s, issued_s + provider.max_age_s + provider.skew_s)


def check_addressee(claims: Mapping[str, Any], provider: OidcTable) -> None:
    """Check ``iss``, ``aud`` and ``azp`` (OpenID Connect Core §3.1.3.7).

    Raises:
        InvalidCredential: the token is another issuer's, or meant for another.
    """
    audiences = audiences_of(claims)
    if "events" in claims:  # of a logout token, which older providers do not mark otherwise
        raise InvalidCredential("it tells of an event, and is not for identifying anybody")
    if claims.get("iss") != provider.issuer or provider.audience not in audiences:
        raise InvalidCredential(f"the token is not one of {provider.issuer} for {provider.audience}")
    several = len(audiences) > 1 or "azp" in claims
    # Whoever else it was issued to could show it here otherwise.
    if provider.kind == "user" and several and claims.get("azp") != provider.audience:
        raise InvalidCredential("the token was issued to another party (azp)")


def audiences_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whom a token is meant for; nobody if the claim is none."""
    found = claims.get("aud")
    listed = [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        return ()
    return tuple(listed)


def identify(claims: Mapping[str, Any], provider: OidcTable) -> Identity:
    """Name whom the claims of a valid token are about.

    Raises:
        InvalidCredential: they do not say, or not in the form that they should.
    """
    if missing := [name for name in provider.must_have if name not in claims]:
        raise InvalidCredential(f"it lacks the claim {missing[0]}, and must have it")
    groups = _groups(claims, provider)
    factors = _factors(claims, provider)
    moment_s = _moment(claims, "auth_time" if "auth_time" in claims else "iat")
    return Identity(
        provider=provider.name,
        subject=_subject(claims, provider),
        kind=provider.kind,
        groups=frozenset(f"{provider.name}:{group}" for group in groups),
        claims=(("iss", provider.issuer), *factors),
        mfa=bool(factors),
        authenticated_ms=moment_s * 1000,
    )


def _subject(claims: Mapping[str, Any], provider: OidcTable) -> str:
    if "{" not in provider.subject:
        subject = claims.get(provider.subject)
        if not isinstance(subject, str) or not is_subject(subject):
            raise InvalidCredential(f"the claim {provider.subject} is no subject")
        return subject
    values = {name: _find(claims, name) for name in placeholders(provider.subject)}
    for name, value in values.items():
        if not isinstance(value, str) or _PART.fullmatch(value) is None:
            raise InvalidCredential(f"the claim {name} is no part of a subject")
    subject = fill(provider.subject, values)
    if not is_subject(subject):
        raise InvalidCredential("the subject is too long")
    return subject


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim, or one inside another: Kubernetes has ``kubernetes.io`` with members in it."""
    if path in claims:
        return claims[path]
    for cut, letter in enumerate(path):
        inner = claims.get(path[:cut]) if letter == "." else None
        if isinstance(inner, dict):
            return _find(inner, path[cut + 1 :])
    return None


def _groups(claims: Mapping[str, Any], provider: OidcTable) -> tuple[str, ...]:
    if provider.groups is None:
        return ()
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and provider.groups in elsewhere:
        # OpenID Connect Core §5.6.2; Entra's way to say that there are too many for a token. Without them
        # somebody would be denied what he has, and nobody would see why.
        raise InvalidCredential(
            f"the claim {provider.groups} is not in the token, which has another place for it: they are too "
            "many; have the provider list only those that count"
        )
    listed = _texts(claims, provider.groups, MAX_GROUPS)
    return tuple(group for group in listed if is_subject(group))


def _factors(claims: Mapping[str, Any], provider: OidcTable) -> tuple[tuple[str, str], ...]:
    """Return the claims by which the person showed more than one factor."""
    methods = [("amr", each) for each in _texts(claims, "amr", MAX_VALUES) if each in provider.mfa_amr]
    level = claims.get("acr")
    return (*methods, *([("acr", level)] if isinstance(level, str) and level in provider.mfa_acr else []))


def _texts(claims: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    listed = claims.get(name, [])
    if (
        not isinstance(listed, list)
        or len(listed) > most
        or not all(isinstance(each, str) for each in listed)
    ):
        raise InvalidCredential(f"the claim {name} is no list of at most {most} texts")
    return tuple(dict.fromkeys(listed))


def _moment(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise InvalidCredential(f"the claim {name} is no moment")
    return int(value)
