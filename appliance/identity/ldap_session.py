"""Conversations with a directory: TLS first, then a bind, then searches in pages. All of it blocks.

RFC 4511, RFC 4513; pages by RFC 2696. Nothing is sent before TLS stands and the server's name was checked.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import ldap
from ldap.controls import SimplePagedResultsControl
from ldap.controls.ppolicy import PasswordPolicyControl, PasswordPolicyError
from ldap.ldapobject import SimpleLDAPObject

from appliance.identity.errors import InvalidCredential, ProviderSilent, ProviderUnavailable
from appliance.identity.ldap_accounts import Attributes, explain_refusal
from appliance.identity.settings import LdapTable

# A page is no more than what every server gives at once (Active Directory: 1 000).
PAGE: Final = 500
MAX_ENTRIES: Final = 2_000
# Refusals of a bind that are about the account; anything else is the directory's trouble.
_REFUSED: Final = (
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.CONSTRAINT_VIOLATION,
    ldap.UNWILLING_TO_PERFORM,
)
_SILENT: Final = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT, ldap.BUSY, ldap.UNAVAILABLE)

_KEEP_ALIVE: Final = {
    ldap.OPT_X_KEEPALIVE_IDLE: 10,
    ldap.OPT_X_KEEPALIVE_INTERVAL: 5,
    ldap.OPT_X_KEEPALIVE_PROBES: 3,
}
# An extended request with the OID of StartTLS (RFC 4511 §4.14), as message 1.
_START_TLS: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_PORTS: Final = {"ldaps": 636, "ldap": 389}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a directory; names of attributes are in lower case, since servers write them freely."""

    dn: str
    attributes: Attributes

    def text(self, name: str) -> str | None:
        """Return the one value of an attribute as text; None if it has none, several, or no text."""
        values = self.attributes.get(name.lower(), ())
        try:
            return values[0].decode() if len(values) == 1 else None
        except UnicodeDecodeError:
            return None


def knock(settings: LdapTable, ca: str | None) -> None:
    """See whether the directory answers, and is who it should be; every wait in here has a deadline.

    Libldap's handshake has none, so nothing is handed to it that did not come through one a moment ago.

    Raises:
        ProviderSilent: it does not, or is not.
    """
    url = urlsplit(settings.url)
    try:
        context = ssl.create_default_context(cafile=ca)
        address = (url.hostname, url.port or _PORTS[url.scheme])
        with socket.create_connection(address, timeout=settings.timeout_s) as connection:
            if url.scheme == "ldap":
                connection.sendall(_START_TLS)
                connection.recv(1_024)  # what it says is read in earnest by libldap
            with context.wrap_socket(connection, server_hostname=url.hostname):
                pass
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ProviderSilent(f"{settings.url}: {type(error).__name__}: {error}") from error


@contextmanager
def bound(settings: LdapTable, ca: str | None, dn: str, password: str) -> Iterator[SimpleLDAPObject]:
    """Talk to the directory as ``dn``, in TLS; the conversation ends with the block.

    Raises:
        InvalidCredential: the directory does not take the password, or the account.
        ProviderSilent: it cannot be reached, is not who it should be, or does not answer in time.
        ProviderUnavailable: its answer is of no use.
    """
    if not dn or not password:
        # An empty password is an "unauthenticated bind", which succeeds (RFC 4513 §5.1.2).
        raise InvalidCredential("the password is empty")
    try:
        connection = ldap.initialize(settings.url)
        try:
            _secure(connection, settings, ca)
            _bind(connection, dn, password)
            yield connection
        finally:
            connection.unbind_ext_s()
    except _SILENT as error:
        raise ProviderSilent(f"{settings.url}: {describe(error)}") from error
    except ldap.LDAPError as error:
        raise ProviderUnavailable(f"{settings.url}: {describe(error)}") from error


def search(
    connection: SimpleLDAPObject, base: str, scope: int, filter_: str, wanted: list[str]
) -> list[Entry]:
    """Search, page by page.

    Raises:
        ldap.LDAPError: the directory's; also SIZELIMIT_EXCEEDED above :data:`MAX_ENTRIES`.
    """
    pages = SimplePagedResultsControl(criticality=False, size=PAGE, cookie="")
    found: list[Entry] = []
    while True:
        message = connection.search_ext(base, scope, filter_, wanted, serverctrls=[pages])
        _, data, _, controls = connection.result3(message, timeout=connection.timeout)
        # What has no DN refers to another server, which is not followed.
        found += [
            Entry(dn, {name.lower(): values for name, values in attributes.items()})
            for dn, attributes in data
            if dn is not None
        ]
        if len(found) > MAX_ENTRIES:
            raise ldap.SIZELIMIT_EXCEEDED({"desc": f"more than {MAX_ENTRIES} entries"})
        cookies = [each.cookie for each in controls if isinstance(each, SimplePagedResultsControl)]
        if not cookies or not cookies[0]:
            return found
        pages.cookie = cookies[0]


def describe(error: ldap.LDAPError) -> str:
    """Say what went wrong, in the library's words."""
    detail: Any = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = [str(detail[key]) for key in ("desc", "info") if detail.get(key)]
    return f"{type(error).__name__}: {'; '.join(said)}" if said else type(error).__name__


def _secure(connection: SimpleLDAPObject, settings: LdapTable, ca: str | None) -> None:
    connection.protocol_version = ldap.VERSION3
    connection.timeout = settings.timeout_s
    # No network timeout: with one, libldap on GnuTLS spins through a handshake that nobody answers, for ever.
    # Without, it waits; knock() has seen the server answer a moment before, and a host that goes is noticed:
    # also the first address of several, which knock() may have passed by.
    connection.set_option(ldap.OPT_TCP_USER_TIMEOUT, int(settings.timeout_s * 1000))
    for option, value in _KEEP_ALIVE.items():
        connection.set_option(option, value)
    connection.set_option(ldap.OPT_REFERRALS, 0)
    connection.set_option(ldap.OPT_RESTART, ldap.OPT_ON)
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    if ca is not None:
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # last: it takes in what was set before
    if settings.url.startswith("ldap:"):
        connection.start_tls_s()


def _bind(connection: SimpleLDAPObject, dn: str, password: str) -> None:
    try:
        message = connection.simple_bind(dn, password, serverctrls=[PasswordPolicyControl()])
        _, _, _, controls = connection.result3(message, timeout=connection.timeout)
    except _REFUSED as error:
        raise InvalidCredential(explain_refusal(describe(error))) from error
    for control in controls:
        if isinstance(control, PasswordPolicyControl) and control.error is not None:
            raise InvalidCredential(f"the password: {PasswordPolicyError(control.error).prettyPrint()}")
