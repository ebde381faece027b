"""Providers that go down or change their keys concern those who log in now, and nobody who did before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.clock import now_ms as wall_ms
from appliance.config import load_config
from appliance.identity.errors import InvalidCredential, ProviderUnavailable
from appliance.identity.ldap_directory import PAUSE_MS
from appliance.identity.oidc_keys import REFETCH_S
from appliance.identity.providers import Providers, build_providers
from support.directory import PASSWORD, person_dn, running_directory
from support.openid import fetch_token, running_provider

TOKEN = '[token]\nmodule = "/usr/lib/softhsm/libsofthsm2.so"\nlabel = "chancery"\n'


def build(
    directory: Path,
    tables: str,
    *,
    clock_s: Callable[[], float] = time.monotonic,
    now_ms: Callable[[], int] = wall_ms,
) -> Providers:
    (directory / "chancery.toml").write_text(TOKEN + tables)
    return build_providers(load_config(directory, {}), key=bytes(32), now_ms=now_ms, clock_s=clock_s)


def test_session_outlives_its_directory_and_ends_when_the_account_is_locked(tmp_path: Path) -> None:
    with running_directory(tmp_path) as directory:
        ahead = [0]
        people = build(tmp_path, directory.settings(cache_s=0), now_ms=lambda: wall_ms() + ahead[0])
        opened = people.log_in("ldap", "bob", PASSWORD)
        directory.stop()
        assert people.identify(opened.credential) == opened.identity, "as it began"
        with pytest.raises(ProviderUnavailable):
            people.log_in("ldap", "bob", PASSWORD)
        with pytest.raises(ProviderUnavailable):
            people.look_up("ldap:bob")
        directory.start()
        with pytest.raises(ProviderUnavailable, match="a moment ago"):
            people.log_in("ldap", "bob", PASSWORD)
        ahead[0] += PAUSE_MS
        assert people.identify(opened.credential).subject == "bob"
        locked = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
        directory.change(f"dn: {person_dn('bob')}\n{locked}")
        with pytest.raises(InvalidCredential, match="locked"):
            people.identify(opened.credential)


def test_token_outlives_its_provider_and_ends_when_the_key_is_dropped(tmp_path: Path) -> None:
    moments = [0.0]
    with running_provider(tmp_path) as provider:
        people = build(tmp_path, provider.settings(), clock_s=lambda: moments[0])
        old = fetch_token(provider)
        assert people.identify(old).subject == "ada"
        stranger = build(tmp_path, provider.settings())
    assert people.identify(old).subject == "ada"
    with pytest.raises(ProviderUnavailable):
        stranger.identify(old)
    port = int(provider.issuer.rpartition(":")[2])
    with running_provider(tmp_path, port=port, algorithm="RS256", key_id="two") as provider:
        new = fetch_token(provider)
        moments[0] += REFETCH_S
        assert people.identify(new).subject == "ada"
        with pytest.raises(InvalidCredential, match="no key"):
            people.identify(old)
