"""All identity providers of a configuration, as the web tier asks them whose a credential is.

One that is down concerns those who log in by it now. Who did before goes on: keys of tokens are kept for a
day, and a session holds what the directory said when it began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from appliance.config import Config, credentials_directory
from appliance.errors import ConfigError
from appliance.identity.errors import InvalidCredential, ProviderUnavailable
from appliance.identity.fetching import get_json, make_context
from appliance.identity.identity import Identity
from appliance.identity.jwt import is_token
from appliance.identity.ldap_accounts import Account
from appliance.identity.ldap_directory import LdapDirectory
from appliance.identity.oidc import OidcProvider, Tokens
from appliance.identity.oidc_keys import KeyCache
from appliance.identity.secret_files import read_secret
from appliance.identity.sessions import PREFIX, Sealer, Session
from appliance.identity.settings import IdentityTable, LdapTable, OidcTable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session as its holder gets it."""

    credential: str
    identity: Identity
    ends_s: int


class Providers:
    """Turns bearer credentials of people and workloads into identities."""

    def __init__(
        self,
        settings: IdentityTable,
        *,
        oidc: tuple[OidcProvider, ...],
        directories: Mapping[str, LdapDirectory],
        sealer: Sealer,
        now_ms: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.oidc = oidc
        self.directories = directories
        self._sealer = sealer
        self._now_ms = now_ms
        self._tokens = Tokens(oidc, now_ms=now_ms)

    def identify(self, credential: str) -> Identity:
        """Return whom a token or a session identifies.

        Raises:
            InvalidCredential: nobody.
            ProviderUnavailable: its provider would have to be asked, and does not answer.
            ProviderBusy: too many wait for that already.
        """
        if credential.startswith(PREFIX):
            return self._by_session(credential)
        if is_token(credential):
            return self._tokens.identify(credential)
        raise InvalidCredential("it is no credential in form")

    def log_in(self, provider: str, name: str, password: str) -> Opened:
        """Begin a session of whoever shows a password.

        Raises:
            InvalidCredential: the password, the name or the provider is none.
            ProviderUnavailable: the directory cannot be asked.
        """
        directory = self.directories.get(provider)
        if directory is None:
            raise InvalidCredential(f"no directory is called {provider!r}")
        identity = directory.authenticate(name, password)
        ends_s = self._now_ms() // 1000 + directory.settings.session_s
        credential = self._sealer.seal(Session(identity=identity, ends_s=ends_s))
        return Opened(credential=credential, identity=identity, ends_s=ends_s)

    def look_up(self, reference: str) -> Identity:
        """Return a person by ``provider:subject``, for someone who asks on his behalf.

        Raises:
            InvalidCredential: there is no such person, or no directory of that name.
            ProviderUnavailable: the directory cannot be asked.
        """
        provider, _, subject = reference.partition(":")
        directory = self.directories.get(provider)
        if directory is None:
            raise InvalidCredential(f"no directory is called {provider!r}")
        return directory.look_up(subject)

    def _by_session(self, credential: str) -> Identity:
        """Open a session; whoever was disabled, or left a group, since it began is seen as he is now."""
        known = self._sealer.open(credential, self._now_ms() // 1000).identity
        directory = self.directories.get(known.provider)
        if directory is None:
            raise InvalidCredential(f"no directory is called {known.provider!r}")
        try:
            now = directory.look_up(known.subject)
        except ProviderUnavailable as error:
            log.warning("a session of %s goes on as it began: %s", known, error)
            return known
        return replace(now, authenticated_ms=known.authenticated_ms)


def build_providers(
    config: Config,
    *,
    key: bytes,
    now_ms: Callable[[], int],
    clock_s: Callable[[], float],
    apart: Callable[[Callable[[], Account]], Account] = lambda work: work(),
) -> Providers:
    """Build the providers of a configuration; none of them is asked yet.

    ``apart`` runs what blocks; ``key`` seals sessions.
    """
    settings = config.identity
    return Providers(
        settings,
        oidc=tuple(build_oidc(config, each, clock_s) for each in settings.oidc),
        directories={each.name: build_directory(config, each, now_ms, apart) for each in settings.ldap},
        sealer=Sealer(key),
        now_ms=now_ms,
    )


def build_oidc(config: Config, settings: OidcTable, clock_s: Callable[[], float]) -> OidcProvider:
    """Build one OpenID provider."""
    ca = None if settings.ca is None else config.path(settings.ca)

    def fetch(url: str) -> Mapping[str, Any]:
        # The file is read each time: a provider's new CA needs no restart.
        return get_json(url, make_context(ca))

    keys = KeyCache(settings.issuer, fetch, clock_s=clock_s, jwks_uri=settings.jwks_uri)
    return OidcProvider(settings, keys)


def build_directory(
    config: Config,
    settings: LdapTable,
    now_ms: Callable[[], int],
    apart: Callable[[Callable[[], Account]], Account] = lambda work: work(),
) -> LdapDirectory:
    """Build one directory."""
    return LdapDirectory(
        settings,
        password=partial(_read_password, config, settings),
        ca=None if settings.ca is None else str(config.path(settings.ca)),
        now_ms=now_ms,
        apart=apart,
    )


def check_providers(config: Config, clock_s: Callable[[], float]) -> Iterator[tuple[str, str, str | None]]:
    """Ask each provider; yield its name, what it is, and what is wrong with it, if anything is."""
    for oidc in config.identity.oidc:
        provider = build_oidc(config, oidc, clock_s)
        yield oidc.name, f"OpenID provider {oidc.issuer}", _trouble(provider.keys.current)
    for ldap in config.identity.ldap:
        directory = build_directory(config, ldap, lambda: 0)
        yield ldap.name, f"directory {ldap.url}", _trouble(directory.check)


def _trouble(ask: Callable[[], object]) -> str | None:
    try:
        ask()
    except ProviderUnavailable as error:
        return str(error)
    return None


def _read_password(config: Config, settings: LdapTable) -> str:
    try:
        return read_secret(settings.password, config.data, credentials_directory())
    except ConfigError as error:
        raise ProviderUnavailable(f"identity provider {settings.name}: {error}") from error
