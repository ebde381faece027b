"""What a directory's attributes say of an account."""

from __future__ import annotations

import pytest

from appliance.identity.errors import InvalidCredential
from appliance.identity.ldap_accounts import check_open, explain_refusal
from appliance.identity.ldap_groups import is_below

NOW_S = 1_764_000_000
# Ticks of 100 ns since 1601 at NOW_S.
NOW = (NOW_S + 11_644_473_600) * 10_000_000
NORMAL = 0x200


def attributes(**values: int | str) -> dict[str, list[bytes]]:
    return {name.lower(): [str(value).encode()] for name, value in values.items()}


@pytest.mark.parametrize(
    "found",
    [
        {},
        attributes(userAccountControl=NORMAL, accountExpires=0),
        attributes(userAccountControl=NORMAL, accountExpires=0x7FFF_FFFF_FFFF_FFFF),
        attributes(accountExpires=NOW + 10_000_000),
        # Of too many bad passwords: for the bind to say, or others could end a person's sessions.
        attributes(pwdAccountLockedTime="20260101000000Z"),
        attributes(pwdStartTime="20251124160000Z", pwdEndTime="20251124160001Z"),
        attributes(pwdStartTime="20251124170000.0+0100", pwdEndTime="20251124160001.5Z"),
    ],
    ids=str,
)
def test_open_account_is_let_in(found: dict[str, list[bytes]]) -> None:
    check_open(found, NOW_S)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (attributes(userAccountControl=NORMAL | 2), "disabled"),
        (attributes(accountExpires=NOW), "expired"),
        (attributes(accountExpires=1), "expired"),
        (attributes(pwdAccountLockedTime="000001010000Z"), "locked"),
        (attributes(pwdStartTime="20251124160001Z"), "not begun"),
        (attributes(pwdEndTime="20251124160000Z"), "expired"),
        (attributes(pwdEndTime="20251124170000+0100"), "expired"),
        (attributes(pwdEndTime="never"), "no time"),
        ({"pwdendtime": [b"\xff"]}, "no time"),
        (attributes(userAccountControl="many"), "no number"),
        ({"accountexpires": [b"0", b"0"]}, "no number"),
    ],
    ids=str,
)
def test_closed_account_is_refused(found: dict[str, list[bytes]], why: str) -> None:
    with pytest.raises(InvalidCredential, match=why):
        check_open(found, NOW_S)


@pytest.mark.parametrize(
    ("info", "why"),
    [
        ("80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563", "wrong"),
        ("… data 533, v4563", "disabled"),
        ("… data 701, v4563", "expired"),
        ("… data 775, v4563", "locked"),
        ("… data 57, v4563", "data 57"),
        ("Invalid credentials", "wrong"),
    ],
)
def test_active_directorys_codes_are_said_in_words(info: str, why: str) -> None:
    assert why in explain_refusal(info)


@pytest.mark.parametrize(
    ("dn", "below"),
    [
        ("CN=dba,OU=Access,DC=example,DC=org", True),
        ("cn=dba,ou=sub,ou=access,dc=example,dc=org", True),
        ("ou=access,dc=example,dc=org", True),
        ("cn=dba,ou=xou=access,dc=example,dc=org", False),
        ("cn=dba,ou=not access,dc=example,dc=org", False),
        (r"cn=dba\,ou=access,dc=example,dc=org", False),
        ("dc=example,dc=org", False),
    ],
)
def test_group_counts_only_below_its_base(dn: str, below: bool) -> None:
    assert is_below(dn, "ou=access,dc=example,dc=org") is below
