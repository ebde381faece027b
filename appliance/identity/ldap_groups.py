"""The groups of an account, nested ones too.

They are read by the service's own account: of Active Directory with one search by its rule for chains,
elsewhere by walking ``memberOf``.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final, TypeVar

import ldap
import ldap.dn
from ldap.filter import escape_filter_chars
from ldap.ldapobject import SimpleLDAPObject

from appliance.identity.errors import InvalidCredential
from appliance.identity.identity import is_subject
from appliance.identity.ldap_session import Entry, search
from appliance.identity.settings import LdapTable

MAX_GROUPS: Final = 500
_IN_CHAIN: Final = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] §3.1.1.3.4.4.3

_Groups = TypeVar("_Groups", bound=Sized)


def find_groups(settings: LdapTable, connection: SimpleLDAPObject, entry: Entry) -> frozenset[str]:
    """Return the names of the groups that an account is in, at any depth.

    Raises:
        InvalidCredential: they are more than are read.
        ldap.LDAPError: the directory's.
    """
    chained = settings.type == "active-directory"
    groups = _search_chain(settings, connection, entry.dn) if chained else _walk(settings, connection, entry)
    names = {group.text(settings.group_name) for group in groups}
    return frozenset(name for name in names if name is not None and is_subject(name))


def _search_chain(settings: LdapTable, connection: SimpleLDAPObject, dn: str) -> list[Entry]:
    """Have Active Directory find the groups that an account is in, through others or at once."""
    base = settings.group_base or settings.base
    filter_ = f"(&(objectClass=group)(member:{_IN_CHAIN}:={escape_filter_chars(dn)}))"
    found = search(connection, base, ldap.SCOPE_SUBTREE, filter_, [settings.group_name])
    return _bounded(found, dn)


def _walk(settings: LdapTable, connection: SimpleLDAPObject, entry: Entry) -> list[Entry]:
    """Follow ``memberOf`` from an account to its groups, and on to theirs; each is visited once."""
    base = settings.group_base or settings.base
    found: dict[str, Entry] = {}
    waiting = _member_of(entry)
    while waiting:
        dn = waiting.pop()
        if dn.lower() in found or not is_below(dn, base):
            continue
        try:
            (group,) = search(
                connection,
                dn,
                ldap.SCOPE_BASE,
                "(objectClass=*)",
                [settings.group_name, "memberOf"],
            )
        except (ldap.NO_SUCH_OBJECT, ValueError):  # it is gone, or not for the service to see
            group = Entry(dn, {})
        found[dn.lower()] = group
        waiting += _member_of(group)
        _bounded(found, entry.dn)
    return list(found.values())


def _member_of(entry: Entry) -> list[str]:
    return [value.decode(errors="replace") for value in entry.attributes.get("memberof", ())]


def is_below(dn: str, base: str) -> bool:
    """Say whether an entry is in a subtree; a name that merely ends like its own is not."""
    inner, outer = ldap.dn.str2dn(dn.lower()), ldap.dn.str2dn(base.lower())
    return len(inner) >= len(outer) and inner[len(inner) - len(outer) :] == outer


def _bounded(groups: _Groups, dn: str) -> _Groups:
    if len(groups) > MAX_GROUPS:
        raise InvalidCredential(f"{dn} is in more than {MAX_GROUPS} groups: narrow group_base")
    return groups
