"""The forms that names take in policies and requests, each with its check.

Principals are made of logins and host groups. Keeping both to plain ASCII keeps look-alikes, the comment
sign of AuthorizedPrincipalsFile and sshd's wildcards out of them.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOST_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}\$?")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def check_name(text: str) -> str:
    """Check the name of a grant, group, person or operator."""
    return _check(_NAME, text, "at most 63 lower-case letters, digits, dots, dashes, underscores")


def check_ca(text: str) -> str:
    """Check the name of a CA: ``/v1/krl/NAME.sig`` is where the statement about the KRL of NAME is."""
    if text.endswith(".sig"):
        raise ValueError(f"got {text[:80]!r}, expected a name that does not end in .sig")
    return check_name(text)


def check_customer(text: str) -> str:
    """Check the name of a customer."""
    return check_name(text)


def check_host_group(text: str) -> str:
    """Check the name of a host group: the part of a principal after the ``@``."""
    return _check(_HOST_GROUP, text, "at most 63 lower-case letters, digits, dots and dashes")


def check_login(text: str) -> str:
    """Check a login, the name of an account on a host."""
    return _check(
        _LOGIN, text, "at most 32 letters, digits, dots, dashes, underscores, and perhaps a final $"
    )


def check_host_name(text: str) -> str:
    """Check the name of a host: a DNS name in lower case."""
    if len(text) > 253:
        raise ValueError(f"got {len(text)} characters, expected a host name of at most 253")
    return _check(_HOST, text, "a host name in lower case, such as db-7.acme.example")


def _check(pattern: re.Pattern[str], text: str, expected: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"got {text[:80]!r}, expected {expected}")
    return text
