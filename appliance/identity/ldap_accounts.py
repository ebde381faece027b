"""What a directory's attributes say of an account: whether it is to be let in. Pure.

Of Active Directory ``userAccountControl`` ([MS-ADTS] §2.2.16) and ``accountExpires``; elsewhere what ppolicy
keeps (draft-behera-ldap-password-policy §5.3): a lock, and the times between which the password is good.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appliance.identity.errors import InvalidCredential

Attributes = Mapping[str, Sequence[bytes]]

_ACCOUNT_DISABLED: Final = 0x2
# Ticks of 100 ns since 1601; both of these mean never.
_NEVER: Final = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})
_TICKS_PER_S: Final = 10_000_000
_UNIX_EPOCH_S: Final = 11_644_473_600
# ppolicy's moment for "locked by an administrator", where others are that of too many bad passwords.
_LOCKED_FOR_GOOD: Final = b"000001010000Z"
_FRACTION: Final = re.compile(rb"[.,][0-9]+")
# What Active Directory adds to "invalid credentials" (a Windows error code in hex).
_DATA: Final = re.compile(r"\bdata ([0-9a-f]{2,8})\b")
_REASONS: Final = {
    "525": "there is no such account",
    "52e": "the password is wrong",
    "530": "the account may not log in at this hour",
    "532": "the password has expired",
    "533": "the account is disabled",
    "701": "the account has expired",
    "773": "the password must be changed first",
    "775": "the account is locked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person as the directory has him: where he is, what he is called, and his groups, nested ones too."""

    dn: str
    name: str
    groups: frozenset[str]


def check_open(attributes: Attributes, now_s: int) -> None:
    """Check that an account is neither disabled nor expired; names of attributes are in lower case.

    That its password is old is for a bind to say, which a look-up is not.

    Raises:
        InvalidCredential: it is.
    """
    if _number(attributes, "useraccountcontrol") & _ACCOUNT_DISABLED:
        raise InvalidCredential("the account is disabled")
    expires = _number(attributes, "accountexpires")
    if expires not in _NEVER and expires // _TICKS_PER_S - _UNIX_EPOCH_S <= now_s:
        raise InvalidCredential("the account has expired")
    if _LOCKED_FOR_GOOD in attributes.get("pwdaccountlockedtime", ()):
        raise InvalidCredential("the account is locked by an administrator")
    if _moment_s(attributes, "pwdstarttime", now_s) > now_s:
        raise InvalidCredential("the account has not begun")
    if _moment_s(attributes, "pwdendtime", now_s + 1) <= now_s:
        raise InvalidCredential("the account has expired")


def explain_refusal(info: str) -> str:
    """Say why a bind was refused, as far as Active Directory said so."""
    found = _DATA.search(info)
    return _REASONS.get(found[1], f"refused with data {found[1]}") if found else "the password is wrong"


def _moment_s(attributes: Attributes, name: str, default_s: int) -> float:
    """Return a generalized time (RFC 4517 §3.3.13); directories write none that is shorter than a second."""
    values = [_FRACTION.sub(b"", each) for each in attributes.get(name, ())]
    try:
        moments = [datetime.strptime(each.decode(), "%Y%m%d%H%M%S%z") for each in values]
    except ValueError as error:
        raise InvalidCredential(f"the account's {name} is no time") from error
    return moments[0].timestamp() if moments else default_s


def _number(attributes: Attributes, name: str) -> int:
    values = attributes.get(name, ())
    if len(values) > 1 or not all(re.fullmatch(rb"-?[0-9]{1,20}", value) for value in values):
        raise InvalidCredential(f"the account's {name} is no number")
    return int(values[0]) if values else 0
