"""People of an LDAP directory or of Active Directory: by their password, or looked up by their name.

Groups are read by the service's own account, nested ones too: of Active Directory with one search by its
matching rule for chains, elsewhere by walking ``memberOf``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

import ldap
import ldap.dn
from ldap.filter import escape_filter_chars
from ldap.ldapobject import SimpleLDAPObject

from appliance.identity.errors import InvalidCredential, ProviderSilent, ProviderUnavailable
from appliance.identity.identity import Identity, is_subject
from appliance.identity.ldap_accounts import Account, check_open
from appliance.identity.ldap_session import Entry, bound, knock, search
from appliance.identity.settings import LdapTable
from appliance.identity.sharing import Sharing

MAX_GROUPS: Final = 500
# That a directory which did not answer is left alone: who has a session should not wait for it each time.
PAUSE_MS: Final = 5_000
_IN_CHAIN: Final = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] §3.1.1.3.4.4.3
_ATTRIBUTES: Final = [
    *("memberOf", "userAccountControl", "accountExpires"),
    *("pwdAccountLockedTime", "pwdStartTime", "pwdEndTime"),
]
# A name that no account has, with which to see whether accounts can be looked for.
_NOBODY: Final = "chancery-nobody"
_MAX_KEPT: Final = 4_096
_MAX_PASSWORD: Final = 1_024

_Groups = TypeVar("_Groups", bound=Sized)


class LdapDirectory:
    """One directory. Thread-safe; a conversation is one thread's, and ends with what it was for."""

    def __init__(
        self,
        settings: LdapTable,
        *,
        password: Callable[[], str],
        ca: str | None,
        now_ms: Callable[[], int],
        apart: Callable[[Callable[[], Account]], Account],
    ) -> None:
        """Prepare; ``password`` is the service account's, ``apart`` runs what blocks."""
        self.settings = settings
        self._password = password
        self._ca = ca
        self._now_ms = now_ms
        self._apart = apart
        self._kept: OrderedDict[str, tuple[int, Account]] = OrderedDict()
        self._silent_until_ms = 0
        self._asked = Sharing[Account]()
        self._lock = threading.Lock()

    def authenticate(self, name: str, password: str) -> Identity:
        """Return whom a name and a password identify.

        Raises:
            InvalidCredential: nobody, or an account that is disabled, expired or locked.
            ProviderUnavailable: the directory cannot be asked.
        """
        if not is_subject(name) or not 0 < len(password) <= _MAX_PASSWORD or "\0" in password:
            raise InvalidCredential("no name, or no password, that could be one")
        account = self._converse(lambda: self._find(name, password))
        self._keep(account)
        return self._identity(account)

    def look_up(self, subject: str) -> Identity:
        """Return the person called ``subject``, as the directory has him now or had him moments ago.

        Raises:
            InvalidCredential: there is none, or the account is disabled, expired or locked.
            ProviderUnavailable: the directory cannot be asked.
            ProviderBusy: too many wait for it already.
        """
        if not is_subject(subject):
            raise InvalidCredential("no name that could be one")
        with self._lock:
            until_ms, kept = self._kept.get(subject, (0, None))
        if kept is not None and 0 < until_ms - self._now_ms() <= self.settings.cache_s * 1000:
            return self._identity(kept)
        # However often he asks at once, the directory is asked for him once.
        return self._identity(self._asked.ask(subject, lambda: self._ask(subject)))

    def check(self) -> None:
        """Check that the directory answers to the service's own account, as it is asked for people.

        Raises:
            ProviderUnavailable: it does not.
        """
        for key, dn in (("base", self.settings.base), ("group_base", self.settings.group_base)):
            if dn is not None and not ldap.dn.is_dn(dn):
                raise ProviderUnavailable(f"{self.settings.url}: {key}: {dn!r} is no distinguished name")
        knock(self.settings, self._ca)
        with self._service() as connection:
            search(connection, self.settings.base, ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
            try:
                self._search(connection, _NOBODY)
            except ldap.FILTER_ERROR as error:
                raise ProviderUnavailable(
                    f"{self.settings.url}: filter: {self.settings.filter!r} is no filter (RFC 4515)"
                ) from error

    def _ask(self, subject: str) -> Account:
        account = self._converse(lambda: self._find(subject, None))
        if account.name != subject:
            raise InvalidCredential(f"{subject!r} is written {account.name!r} in the directory")
        self._keep(account)
        return account

    def _converse(self, talk: Callable[[], Account]) -> Account:
        """See whether the directory answers, and talk to it; after a silence nobody waits for it a while."""
        if 0 < self._silent_until_ms - self._now_ms() <= PAUSE_MS:  # not for hours, if the clock goes back
            raise ProviderSilent(f"{self.settings.url}: it did not answer a moment ago")
        try:
            knock(self.settings, self._ca)
            return self._apart(talk)
        except ProviderSilent:
            self._silent_until_ms = self._now_ms() + PAUSE_MS
            raise

    def _find(self, name: str, password: str | None) -> Account:
        """Find an account, show it its password if there is one, and collect its groups."""
        with self._service() as connection:
            entry = self._find_entry(connection, name)
            check_open(entry.attributes, self._now_ms() // 1000)
            subject = entry.text(self.settings.login_attribute)
            if subject is None or not is_subject(subject):
                raise InvalidCredential(f"{entry.dn} has no single {self.settings.login_attribute}")
            # Directories take more for the same than that, such as letters of full width; and each spelling
            # would be another name to whoever counts the passwords that are tried for one.
            if subject.casefold() != name.casefold():
                raise InvalidCredential(f"{name!r} is written {subject!r} in the directory")
            if password is not None:
                with bound(self.settings, self._ca, entry.dn, password):
                    pass
            return Account(dn=entry.dn, name=subject, groups=self._groups(connection, entry))

    @contextmanager
    def _service(self) -> Iterator[SimpleLDAPObject]:
        """Talk to the directory as the service itself."""
        with ExitStack() as stack:
            try:
                as_service = bound(self.settings, self._ca, self.settings.bind_dn, self._password())
                connection = stack.enter_context(as_service)
            except InvalidCredential as error:
                raise ProviderUnavailable(f"{self.settings.url}: {self.settings.bind_dn}: {error}") from error
            yield connection

    def _search(self, connection: SimpleLDAPObject, name: str) -> list[Entry]:
        attribute = self.settings.login_attribute
        filter_ = f"(&{self.settings.filter}({attribute}={escape_filter_chars(name)}))"
        wanted = [attribute, *_ATTRIBUTES]
        return search(connection, self.settings.base, ldap.SCOPE_SUBTREE, filter_, wanted)

    def _find_entry(self, connection: SimpleLDAPObject, name: str) -> Entry:
        found = self._search(connection, name)
        if len(found) != 1:
            raise InvalidCredential(f"{len(found)} accounts are called {name!r}")
        return found[0]

    def _groups(self, connection: SimpleLDAPObject, entry: Entry) -> frozenset[str]:
        chained = self.settings.type == "active-directory"
        groups = self._search_chain(connection, entry.dn) if chained else self._walk(connection, entry)
        names = {group.text(self.settings.group_name) for group in groups}
        return frozenset(name for name in names if name is not None and is_subject(name))

    def _search_chain(self, connection: SimpleLDAPObject, dn: str) -> list[Entry]:
        """Have Active Directory find the groups that an account is in, through others or at once."""
        base = self.settings.group_base or self.settings.base
        filter_ = f"(&(objectClass=group)(member:{_IN_CHAIN}:={escape_filter_chars(dn)}))"
        found = search(connection, base, ldap.SCOPE_SUBTREE, filter_, [self.settings.group_name])
        return _bounded(found, dn)

    def _walk(self, connection: SimpleLDAPObject, entry: Entry) -> list[Entry]:
        """Follow ``memberOf`` from an account to its groups, and on to theirs; each is visited once."""
        base = self.settings.group_base or self.settings.base
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
                    [self.settings.group_name, "memberOf"],
                )
            except (ldap.NO_SUCH_OBJECT, ValueError):  # it is gone, or not for the service to see
                group = Entry(dn, {})
            found[dn.lower()] = group
            waiting += _member_of(group)
            _bounded(found, entry.dn)
        return list(found.values())

    def _keep(self, account: Account) -> None:
        with self._lock:
            until_ms = self._now_ms() + self.settings.cache_s * 1000
            self._kept[account.name] = (until_ms, account)
            self._kept.move_to_end(account.name)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)

    def _identity(self, account: Account) -> Identity:
        name = self.settings.name
        return Identity(
            provider=name,
            subject=account.name,
            kind="user",
            groups=frozenset(f"{name}:{group}" for group in account.groups),
            authenticated_ms=self._now_ms(),
        )


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
