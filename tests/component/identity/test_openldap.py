"""People of a real slapd: passwords, nested groups, closed accounts, TLS, and a directory that is down."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ldap import SCOPE_SUBTREE

from appliance.clock import now_ms, now_s
from appliance.identity import ldap_directory, ldap_groups, ldap_session
from appliance.identity.errors import InvalidCredential, ProviderSilent, ProviderUnavailable
from appliance.identity.ldap_directory import LdapDirectory
from appliance.identity.ldap_session import bound, search
from appliance.identity.settings import LdapTable
from appliance.setup.tls import make_server_certificate
from support.directory import (
    PASSWORD,
    SERVICE_PASSWORD,
    Directory,
    group,
    group_dn,
    person,
    person_dn,
)
from support.service import free_port


class Clock:
    """The wall clock, moved on by the test."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


def connect(
    directory: Directory, clock: Clock | None = None, password: str = SERVICE_PASSWORD, **more: Any
) -> LdapDirectory:
    (table,) = tomllib.loads(directory.settings(**more))["identity"]["ldap"]
    settings = LdapTable(**table)
    return LdapDirectory(
        settings,
        password=lambda: password,
        ca=str(settings.ca),
        now_ms=clock or Clock(),
        apart=lambda work: work(),
    )


def refused(people: LdapDirectory, name: str, password: str = PASSWORD) -> str:
    with pytest.raises(InvalidCredential) as raised:
        people.authenticate(name, password)
    return str(raised.value)


def unavailable(people: LdapDirectory) -> str:
    with pytest.raises(ProviderUnavailable) as raised:
        people.authenticate("ada", PASSWORD)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("url", ["ldaps", "ldap"])
def test_password_identifies_a_person_with_all_groups_over_tls_of_both_kinds(
    directory: Directory, url: str
) -> None:
    found = connect(directory, url=getattr(directory, url)).authenticate("ada", PASSWORD)
    assert (found.provider, found.subject, found.kind) == ("ldap", "ada", "user")
    assert found.groups == {"ldap:dba", "ldap:engineers", "ldap:staff"}
    assert not found.mfa


def test_subject_is_written_as_the_directory_has_it(directory: Directory) -> None:
    assert connect(directory).authenticate("ADA", PASSWORD).subject == "ada"


def test_directory_is_asked_as_often_for_a_name_that_is_none_as_for_one_that_is(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def bound_and_noted(settings: LdapTable, ca: str | None, dn: str, password: str) -> Any:
        shown.append(dn)
        return bound(settings, ca, dn, password)

    monkeypatch.setattr(ldap_directory, "bound", bound_and_noted)
    directory.change(person("gone", "pwdAccountLockedTime: 000001010000Z"))
    people = connect(directory)
    for name in ("ada", "nobody", "gone", "\uff41da"):
        shown.clear()
        refused(people, name, "wrong")
        assert len(shown) == 2, name
    assert shown[1] == "cn=chancery-nobody,ou=people,dc=example,dc=org"
    for name in ("nobody", "gone"):
        shown.clear()
        with pytest.raises(InvalidCredential):
            people.look_up(name)
        assert len(shown) == 1, "a look-up shows no password to anybody"


@pytest.mark.parametrize("name", ["\uff41da", "\u24d0da", "\uff41\uff44\uff41"])
def test_name_in_other_letters_is_no_accounts_though_the_directory_knows_it(
    directory: Directory, name: str
) -> None:
    assert "is written 'ada'" in refused(connect(directory), name)


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "\0", PASSWORD + " ", "x" * 1_025])
def test_wrong_or_empty_password_identifies_nobody(directory: Directory, password: str) -> None:
    people = connect(directory)
    # ppolicy counts what is wrong; a good one in between begins anew.
    assert refused(people, "bob", password)
    assert people.authenticate("bob", PASSWORD).subject == "bob"


@pytest.mark.parametrize("name", ["nobody", "*", "ad*", "ada)(uid=*", "ada\\2a", "", " ada", "ada\0"])
def test_name_that_is_no_accounts_identifies_nobody(directory: Directory, name: str) -> None:
    assert refused(connect(directory), name)


def test_filter_says_who_may_log_in_at_all(directory: Directory) -> None:
    only = f"(memberOf={group_dn('dba')})"
    people = connect(directory, filter=only)
    assert people.authenticate("ada", PASSWORD).subject == "ada"
    assert "0 accounts" in refused(people, "bob")


def test_two_accounts_of_one_name_are_nobody(directory: Directory) -> None:
    directory.change(person("twin", "uid: twin-too") + person("other", "uid: twin"))
    assert "2 accounts" in refused(connect(directory), "twin")
    assert "no single uid" in refused(connect(directory), "twin-too")


def test_account_locked_by_an_administrator_is_refused_and_seen_at_a_look_up(directory: Directory) -> None:
    directory.change(person("lena"))
    people, clock = connect(directory), Clock()
    later = connect(directory, clock)
    assert people.authenticate("lena", PASSWORD).subject == "lena"
    assert later.look_up("lena").subject == "lena"
    locked = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    directory.change(f"dn: {person_dn('lena')}\n{locked}")
    assert "locked" in refused(people, "lena")
    assert later.look_up("lena").subject == "lena", "what was found a moment ago is good for a moment"
    clock.ahead_ms = 61_000
    with pytest.raises(InvalidCredential, match="locked"):
        later.look_up("lena")


@pytest.mark.parametrize(
    ("name", "change"),
    [("ended", "pwdEndTime: 20200101000000Z"), ("beginner", "pwdStartTime: 20990101000000Z")],
)
def test_account_out_of_its_time_is_refused_at_a_look_up_too(
    directory: Directory, name: str, change: str
) -> None:
    people = connect(directory, cache_s=0)
    directory.change(person(name))
    assert people.look_up(name).subject == name
    attribute = change.partition(":")[0]
    directory.change(f"dn: {person_dn(name)}\nchangetype: modify\nadd: {attribute}\n{change}\n")
    assert refused(people, name)
    with pytest.raises(InvalidCredential, match="the account has"):
        people.look_up(name)


def test_account_is_locked_by_wrong_passwords_as_its_directory_says(directory: Directory) -> None:
    directory.change(person("guessed"))
    people = connect(directory)
    for _ in range(5):
        refused(people, "guessed", "wrong")
    assert refused(people, "guessed")


def test_password_that_must_be_changed_first_is_refused(directory: Directory) -> None:
    directory.change(person("newcomer"))
    directory.change(f"dn: {person_dn('newcomer')}\nchangetype: modify\nadd: pwdReset\npwdReset: TRUE\n")
    assert "changeAfterReset" in refused(connect(directory), "newcomer")


def test_groups_that_contain_each_other_are_walked_once(directory: Directory) -> None:
    directory.change(
        person("ring")
        + group("ring-a", person_dn("ring"))
        + group("ring-b", group_dn("ring-a"))
        + f"dn: {group_dn('ring-a')}\nchangetype: modify\nadd: member\nmember: {group_dn('ring-b')}\n"
    )
    assert connect(directory).authenticate("ring", PASSWORD).groups == {"ldap:ring-a", "ldap:ring-b"}


def test_group_outside_of_the_configured_place_does_not_count(directory: Directory) -> None:
    people = connect(directory, group_base=f"ou=special,{person_dn('x').partition(',')[2]}")
    assert people.authenticate("ada", PASSWORD).groups == frozenset()
    # Without a place of their own, groups count among the people alone, as the example says.
    assert connect(directory, group_base=None).authenticate("ada", PASSWORD).groups == frozenset()


def test_person_in_more_groups_than_are_read_is_refused(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_groups, "MAX_GROUPS", 2)
    assert "more than 2 groups" in refused(connect(directory), "ada")


def test_answers_of_several_pages_are_read_to_their_end(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_session, "PAGE", 2)
    directory.change("".join(person(f"page-{number}", "title: page") for number in range(7)))
    settings = connect(directory).settings
    with bound(settings, str(settings.ca), settings.bind_dn, SERVICE_PASSWORD) as connection:
        found = search(connection, settings.base, SCOPE_SUBTREE, "(title=page)", ["uid"])
    assert len({each.text("uid") for each in found}) == 7


def test_look_up_finds_a_person_by_his_very_name_alone(directory: Directory) -> None:
    people = connect(directory)
    assert people.look_up("ada").groups == {"ldap:dba", "ldap:engineers", "ldap:staff"}
    for name in ("ADA", "nobody", "*", ""):
        with pytest.raises(InvalidCredential):
            people.look_up(name)


def test_many_threads_at_once_do_not_disturb_each_other(directory: Directory) -> None:
    people = connect(directory, cache_s=0)
    with ThreadPoolExecutor(8) as pool:
        names = ["ada", "bob"] * 20
        found = list(pool.map(lambda name: people.authenticate(name, PASSWORD), names))
    assert [each.subject for each in found] == names


def test_servers_certificate_must_be_for_its_name_and_of_the_configured_ca(
    directory: Directory, tmp_path: Path
) -> None:
    port = directory.ldaps.rpartition(":")[2]
    assert "not valid for 'localhost'" in unavailable(connect(directory, url=f"ldaps://localhost:{port}"))
    (tmp_path / "other.pem").write_bytes(make_server_certificate(("127.0.0.1",), now_s())[1])
    assert unavailable(connect(directory, ca=str(tmp_path / "other.pem")))
    assert unavailable(connect(directory, url=directory.ldap, ca=str(tmp_path / "other.pem")))


def test_wrong_password_of_the_service_itself_is_the_directorys_trouble(directory: Directory) -> None:
    assert "cn=chancery" in unavailable(connect(directory, password="wrong"))


def test_clock_that_is_set_back_does_not_make_an_old_answer_a_good_one(directory: Directory) -> None:
    directory.change(person("olga"))
    clock = Clock()
    people = connect(directory, clock)
    assert people.look_up("olga").subject == "olga"
    locked = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    directory.change(f"dn: {person_dn('olga')}\n{locked}")
    clock.ahead_ms = -3_600_000
    with pytest.raises(InvalidCredential, match="locked"):
        people.look_up("olga")


def test_directory_that_says_nothing_after_tls_is_waited_for_once(directory: Directory) -> None:
    key, certificate = directory.directory / "slapd.key", directory.directory / "slapd.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ended = threading.Event()

    def hold(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            ended.wait(30)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), ThreadPoolExecutor(4) as pool:
            while not ended.is_set():
                pool.submit(hold, listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        clock, port = Clock(), listener.getsockname()[1]
        people = connect(directory, clock, url=f"ldaps://127.0.0.1:{port}", timeout_s=0.5)
        assert "TIMEOUT" in unavailable(people)
        assert "a moment ago" in unavailable(people)
        clock.ahead_ms = ldap_directory.PAUSE_MS
        assert "TIMEOUT" in unavailable(people)
        ended.set()
        with socket.create_connection(("127.0.0.1", port)):
            thread.join(10)


def test_address_at_which_nobody_answers_is_given_up_after_the_time_limit(directory: Directory) -> None:
    with contextlib.ExitStack() as stack:
        # One whose queue is full, and whom the kernel drops connections to, as a host that is down.
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"ldaps://127.0.0.1:{full.getsockname()[1]}"
        settings = connect(directory, url=url, timeout_s=0.5).settings

        def talk() -> None:
            with bound(settings, str(settings.ca), settings.bind_dn, SERVICE_PASSWORD):
                pass

        with ThreadPoolExecutor(1) as pool:
            assert isinstance(pool.submit(talk).exception(20), ProviderSilent)


@pytest.mark.parametrize(
    ("key", "value"),
    [("filter", "((objectClass=person)"), ("base", "example.org"), ("group_base", "the groups")],
)
def test_check_finds_what_would_keep_everyone_from_logging_in(
    directory: Directory, key: str, value: str
) -> None:
    connect(directory).check()
    more: dict[str, Any] = {key: value}
    people = connect(directory, **more)
    assert unavailable(people)
    with pytest.raises(ProviderUnavailable, match=f": {key}: '"):
        people.check()


def test_service_account_that_is_refused_is_no_silence(directory: Directory) -> None:
    people = connect(directory, password="wrong")
    assert ["cn=chancery" in unavailable(people) for _ in range(2)] == [True, True]


def test_directory_that_nobody_listens_for_or_that_hangs_is_unavailable_in_time(directory: Directory) -> None:
    assert unavailable(connect(directory, url=f"ldaps://127.0.0.1:{free_port()}", timeout_s=1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("ldaps", "ldap"):
            people = connect(directory, url=f"{scheme}://127.0.0.1:{port}", timeout_s=0.5)
            assert "timed out" in unavailable(people)
