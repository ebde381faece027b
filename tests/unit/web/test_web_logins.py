"""Tokens and passwords at the door: what a provider's trouble is to the caller, and how often he may try."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from werkzeug.test import EnvironBuilder

from appliance.config import LimitsTable
from appliance.errors import Refusal
from appliance.identity.errors import InvalidCredential, ProviderBusy, ProviderUnavailable
from appliance.identity.identity import Identity
from appliance.identity.providers import Opened, Providers
from appliance.identity.sessions import KEY_BYTES, Sealer
from appliance.identity.settings import IdentityTable
from appliance.index.queries import Index
from appliance.web.addresses import Addresses
from appliance.web.authentication import Authenticator
from appliance.web.logins import ATTEMPTS, Logins
from appliance.web.request import StrictRequest
from support.authority import NOW_MS, identity
from support.web import NOWHERE

ADDRESS = "192.0.2.7"


class Outcome(Providers):
    """Providers that do what the test says: return it, or raise it."""

    def __init__(self, outcome: Identity | Exception) -> None:
        sealer = Sealer(bytes(KEY_BYTES))
        super().__init__(IdentityTable(), oidc=(), directories={}, sealer=sealer, now_ms=lambda: NOW_MS)
        self._outcome = outcome
        self.asked = 0

    def identify(self, credential: str) -> Identity:
        self.asked += 1
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def log_in(self, provider: str, name: str, password: str) -> Opened:
        return Opened(credential="c", identity=self.identify(password), ends_s=0)

    def look_up(self, reference: str) -> Identity:
        return self.identify(reference)


def show(outcome: Identity | Exception, header: str = "Bearer eyJ.a.b") -> Identity | None:
    environ = EnvironBuilder(headers=[("Authorization", header)]).get_environ()
    environ["REMOTE_ADDR"] = ADDRESS
    environ["gunicorn.socket"] = SimpleNamespace(getpeercert=lambda: None)
    authenticator = Authenticator(Index(NOWHERE), Outcome(outcome), now_ms=lambda: NOW_MS)
    return authenticator.identify(StrictRequest(environ))


def logins(outcome: Identity | Exception, clock: list[float] | None = None, **limits: int) -> Logins:
    moments = clock or [0.0]
    table = LimitsTable.model_validate(limits)
    return Logins(Outcome(outcome), Addresses(table), clock_s=lambda: moments[0])


def test_token_is_whom_the_providers_say_at_the_connections_address() -> None:
    assert show(identity()) == replace(identity(), source_address=ADDRESS)


def test_token_of_nobody_is_unauthenticated_and_why_is_not_said() -> None:
    with pytest.raises(Refusal) as raised:
        show(InvalidCredential("its signature"))
    assert (raised.value.slug, raised.value.detail) == ("unauthenticated", "the credential is not valid")


def test_token_whose_provider_cannot_be_asked_is_to_be_shown_again_later() -> None:
    with pytest.raises(Refusal) as raised:
        show(ProviderUnavailable("https://login.example.org: refused"))
    assert raised.value.slug == "identity-unavailable"
    assert raised.value.members["retry_after_s"]
    assert "login.example.org" not in raised.value.detail


def test_token_for_which_there_is_no_room_to_ask_is_to_be_shown_again_at_once() -> None:
    with pytest.raises(Refusal) as raised:
        show(ProviderBusy("too many wait"))
    assert (raised.value.slug, raised.value.members["retry_after_s"]) == ("overloaded", 1)


@pytest.mark.parametrize(
    ("outcome", "slug"),
    [
        (InvalidCredential("wrong"), "unauthenticated"),
        (ProviderUnavailable("down"), "identity-unavailable"),
        (ProviderBusy("down"), "overloaded"),
    ],
)
def test_password_that_brings_no_session_is_refused(outcome: Exception, slug: str) -> None:
    with pytest.raises(Refusal) as raised:
        logins(outcome).log_in("ldap", "ada", "secret", ADDRESS)
    assert raised.value.slug == slug
    assert "wrong" not in raised.value.detail
    assert "down" not in raised.value.detail


@pytest.mark.parametrize(
    ("outcome", "slug"),
    [
        (InvalidCredential("gone"), "malformed-request"),
        (ProviderUnavailable("down"), "identity-unavailable"),
        (ProviderBusy("too many wait"), "overloaded"),
    ],
)
def test_person_who_cannot_be_looked_up_is_refused(outcome: Exception, slug: str) -> None:
    with pytest.raises(Refusal) as raised:
        logins(outcome).look_up("ldap:ada")
    assert raised.value.slug == slug


def test_name_has_a_few_attempts_however_it_is_written_and_wherever_they_come_from() -> None:
    clock = [0.0]
    people = logins(identity(), clock)
    for number in range(ATTEMPTS.burst):
        people.log_in("ldap", "ADA" if number % 2 else "ada", "secret", f"192.0.2.{number}")
    with pytest.raises(Refusal) as raised:
        people.log_in("ldap", "Ada", "secret", "192.0.2.99")
    assert raised.value.slug == "rate-limited"
    assert people.log_in("ldap", "bob", "secret", ADDRESS).credential == "c"
    clock[0] += 1 / ATTEMPTS.per_s
    assert people.log_in("ldap", "ada", "secret", ADDRESS).credential == "c"


def test_address_has_so_many_attempts_whatever_the_names_and_no_password_is_looked_at_after() -> None:
    people = logins(identity(), passwords_per_minute=3)
    providers = people.providers
    assert isinstance(providers, Outcome)
    for number in range(3):
        people.log_in("ldap", f"user-{number}", "secret", ADDRESS)
    with pytest.raises(Refusal) as raised:
        people.log_in("ldap", "user-3", "secret", ADDRESS)
    assert (raised.value.slug, providers.asked) == ("rate-limited", 3)
    assert people.log_in("ldap", "user-4", "secret", "127.0.0.1").credential == "c", "exempt"
