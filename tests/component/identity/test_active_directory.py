"""People of a real Samba domain controller. All that needs it is in this file: its ports are fixed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.clock import now_ms
from appliance.identity import ldap_session
from appliance.identity.errors import InvalidCredential, ProviderUnavailable
from appliance.identity.ldap_directory import LdapDirectory
from appliance.identity.settings import LdapTable
from support.active_directory import PASSWORD, ActiveDirectory, running_domain

YEAR_MS = 366 * 86_400_000


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveDirectory]:
    with running_domain(tmp_path_factory.mktemp("domain")) as running:
        for name in ("ada", "gone", "temporary", "newcomer"):
            running.tool("user", "create", name, PASSWORD)
        for name, member in (("dba", "ada"), ("engineers", "dba"), ("staff", "engineers")):
            running.tool("group", "add", name)
            running.tool("group", "addmembers", name, member)
        running.tool("user", "disable", "gone")
        running.tool("user", "setexpiry", "temporary", "--days=30")
        running.tool(
            "user", "setpassword", "newcomer", f"--newpassword={PASSWORD}", "--must-change-at-next-login"
        )
        yield running


def connect(domain: ActiveDirectory, *, ahead_ms: int = 0, **more: Any) -> LdapDirectory:
    (table,) = tomllib.loads(domain.settings(**more))["identity"]["ldap"]
    settings = LdapTable(**table)
    return LdapDirectory(
        settings,
        password=lambda: PASSWORD,
        ca=str(settings.ca),
        now_ms=lambda: now_ms() + ahead_ms,
        apart=lambda work: work(),
    )


def refused(people: LdapDirectory, name: str, password: str = PASSWORD) -> str:
    with pytest.raises(InvalidCredential) as raised:
        people.authenticate(name, password)
    return str(raised.value)


@pytest.mark.parametrize("url", ["ldaps://127.0.0.1", "ldap://127.0.0.1"])
def test_password_identifies_a_person_with_groups_at_any_depth(domain: ActiveDirectory, url: str) -> None:
    found = connect(domain, url=url).authenticate("ADA", PASSWORD)
    assert (found.provider, found.subject, found.kind) == ("ad", "ada", "user")
    assert {"ad:dba", "ad:engineers", "ad:staff"} <= found.groups


def test_groups_come_in_pages_and_from_where_the_configuration_says(
    domain: ActiveDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_session, "PAGE", 2)
    assert {"ad:dba", "ad:engineers", "ad:staff"} <= connect(domain).look_up("ada").groups
    elsewhere = connect(domain, group_base="CN=Builtin,DC=ad,DC=example,DC=org")
    assert not elsewhere.look_up("ada").groups & {"ad:dba", "ad:engineers", "ad:staff"}


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("ada", "wrong", "the password is wrong"),
        ("ada", "", "no password"),
        ("nobody", PASSWORD, "0 accounts"),
        ("newcomer", PASSWORD, "must be changed"),
        ("gone", PASSWORD, "disabled"),
    ],
)
def test_account_that_may_not_log_in_is_refused_for_the_directorys_reason(
    domain: ActiveDirectory, name: str, password: str, why: str
) -> None:
    assert why in refused(connect(domain), name, password)


def test_expired_account_is_refused_by_our_clock_and_at_a_look_up(domain: ActiveDirectory) -> None:
    assert connect(domain).authenticate("temporary", PASSWORD).subject == "temporary"
    assert "expired" in refused(connect(domain, ahead_ms=YEAR_MS), "temporary")
    with pytest.raises(InvalidCredential, match="expired"):
        connect(domain, ahead_ms=YEAR_MS).look_up("temporary")


def test_disabled_account_is_refused_at_a_look_up(domain: ActiveDirectory) -> None:
    with pytest.raises(InvalidCredential, match="disabled"):
        connect(domain).look_up("gone")


@pytest.mark.parametrize(("name", "data"), [("gone", "disabled"), ("expired", "expired"), ("ada", "wrong")])
def test_directorys_own_word_on_a_bind_is_understood(domain: ActiveDirectory, name: str, data: str) -> None:
    """Bind without a look at the attributes first, as when they change in between."""
    if name == "expired":
        domain.tool("user", "create", name, PASSWORD)
        domain.tool("user", "setexpiry", name, "--days=-1")
    settings = connect(domain).settings
    password = "wrong" if name == "ada" else PASSWORD
    dn = f"CN={name},CN=Users,DC=ad,DC=example,DC=org"
    with pytest.raises(InvalidCredential, match=data):  # noqa: SIM117
        with ldap_session.bound(settings, str(settings.ca), dn, password):
            pass


def test_service_account_that_is_not_taken_is_the_directorys_trouble(domain: ActiveDirectory) -> None:
    people = connect(domain, bind_dn="CN=nobody,CN=Users,DC=ad,DC=example,DC=org")
    with pytest.raises(ProviderUnavailable, match="CN=nobody"):
        people.check()
    connect(domain).check()
