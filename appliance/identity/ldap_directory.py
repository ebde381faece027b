"""People of an LDAP directory or of Active Directory: by their password, or looked up by their name."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import ldap
import ldap.dn
from ldap.filter import escape_filter_chars
from ldap.ldapobject import SimpleLDAPObject

from appliance.identity.errors import InvalidCredential, ProviderSilent, ProviderUnavailable
from appliance.identity.identity import Identity, is_subject
from appliance.identity.ldap_accounts import Account, check_open
from appliance.identity.ldap_groups import find_groups
from appliance.identity.ldap_session import Entry, bound, knock, search
from appliance.identity.settings import LdapTable
from appliance.identity.sharing import Sharing

# That a directory which did not answer is left alone: who has a session should not wait for it each time.
PAUSE_MS: Final = 5_000
_ATTRIBUTES: Final = [
    *("memberOf", "userAccountControl", "accountExpires"),
    *("pwdAccountLockedTime", "pwdStartTime", "pwdEndTime"),
]
# A name that no account has: to see whether accounts can be looked for, and to bind in the place of none.
_NOBODY: Final = "chancery-nobody"
_MAX_KEPT: Final = 4_096
_MAX_PASSWORD: Final = 1_024


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
            try:
                entry, subject = self._find_open(connection, name)
            except InvalidCredential:
                if password is not None:  # who is asked for would show by the time that a bind takes
                    with contextlib.suppress(InvalidCredential, ProviderUnavailable):
                        self._show(f"cn={_NOBODY},{self.settings.base}", password)
                raise
            if password is not None:
                self._show(entry.dn, password)
            return Account(dn=entry.dn, name=subject, groups=find_groups(self.settings, connection, entry))

    def _find_open(self, connection: SimpleLDAPObject, name: str) -> tuple[Entry, str]:
        """Find an account that is to be let in, and what it is called."""
        entry = self._find_entry(connection, name)
        check_open(entry.attributes, self._now_ms() // 1000)
        subject = entry.text(self.settings.login_attribute)
        if subject is None or not is_subject(subject):
            raise InvalidCredential(f"{entry.dn} has no single {self.settings.login_attribute}")
        # Directories take more for the same than that, such as letters of full width; and each spelling would
        # be another name to whoever counts the passwords that are tried for one.
        if subject.casefold() != name.casefold():
            raise InvalidCredential(f"{name!r} is written {subject!r} in the directory")
        return entry, subject

    def _show(self, dn: str, password: str) -> None:
        with bound(self.settings, self._ca, dn, password):
            pass

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
