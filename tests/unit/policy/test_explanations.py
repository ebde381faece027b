"""Explanations: every grant that could be meant, what becomes of it, and when it gives something next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from appliance.identity.identity import Identity
from appliance.policy.bars import find_bars
from appliance.policy.check import check_policy
from appliance.policy.circumstances import PLAIN, Approval, Away, Circumstances
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Host
from appliance.policy.explain import (
    MAX_EXPLAINED,
    Case,
    Explained,
    Explanation,
    Question,
    explain,
    explain_person,
)
from appliance.policy.locks import Lock, LockKind, Locks, Target
from appliance.ssh.keys import format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

KEY, OTHER = (format_public_key_line(public_key("ed25519", number)) for number in (7, 8))
POLICY = f"""{ACME}[[host_group]]
name = "db"
customer = "acme"
match = {{ role = "db" }}
[[group]]
name = "owners"
members = ["mtls:bob"]
[[person]]
name = "bob"
identities = ["mtls:bob"]
keys = ["{OTHER}"]
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00"]
[[operator]]
name = "carol"
keys = ["{KEY}"]
roles = ["admin"]
[[grant]]
name = "office"
who = {{ users = ["oidc:ada"] }}
on = ["web"]
as = ["deploy", "root"]
when = "office"
[[grant]]
name = "ops"
who = {{ groups = ["oidc:ops", "ldap:ops"] }}
on = ["web", "db"]
as = ["root"]
require = {{ mfa = true, reason = true }}
[[grant]]
name = "urgent"
who = {{ users = ["oidc:ada"] }}
on = ["web"]
as = ["root"]
require = {{ approvals = 1, approvers = ["owners"] }}
[[grant]]
name = "databases"
who = {{ users = ["oidc:ada"] }}
on = ["db"]
as = ["postgres"]
[[grant]]
name = "others"
who = {{ users = ["oidc:eve"] }}
on = ["web"]
as = ["root"]
"""
WEB = Host(name="web-1", customer="acme", names=("web-1",), labels=(("role", "web"),), seq=1)
ADA = Identity(provider="oidc", subject="ada", kind="user", authenticated_ms=0)
MONDAY = int(datetime.fromisoformat("2026-03-02T10:00:00+01:00").timestamp())
SUNDAY = MONDAY - 86_400
ASKED = Question(identity=ADA, at_s=MONDAY, host=WEB, login="root", everyone=True)


def parse(text: str = POLICY) -> Policy:
    policy = parse_policy([PolicyFile(name="policy.toml", text=text)])
    check_policy(policy)
    return policy


def ask(question: Question = ASKED, circumstances: Circumstances = PLAIN) -> dict[str, Explained]:
    return {each.filed.grant.name: each for each in tell(question, circumstances).grants}


def tell(question: Question = ASKED, circumstances: Circumstances = PLAIN) -> Explanation:
    return explain(parse(), question, circumstances, max_ttl_s=31 * 86_400)


def rules(explained: Explained) -> list[str]:
    return [obstacle.rule for obstacle in explained.obstacles]


def test_every_grant_that_could_be_meant_is_there_and_those_that_give_come_first() -> None:
    assert [(name, each.verdict) for name, each in ask().items()] == [
        ("office", "gives"),
        ("ops", "depends"),
        ("urgent", "refuses"),
        ("databases", "refuses"),
        ("others", "refuses"),
    ]


def test_grant_that_gives_says_what_and_until_when() -> None:
    office = ask()["office"]
    assert (office.principals, office.valid_before) == (("root@web",), MONDAY + 8 * 3_600)


def test_group_of_a_provider_is_a_condition_unless_the_groups_are_known() -> None:
    needs = ("signing in with more than one factor", "a reason")
    assert ask()["ops"].conditions == ("being in oidc:ops", *needs)
    member = replace(ADA, groups=frozenset({"oidc:ops"}))
    assert ask(replace(ASKED, identity=member))["ops"].conditions == needs
    assert rules(ask(replace(ASKED, knows_groups=True))["ops"]) == ["who"]


def test_refusals_say_what_fails_and_all_of_it() -> None:
    explained = ask()
    assert rules(explained["urgent"]) == ["require.approvals"]
    assert rules(explained["databases"]) == ["on", "as"]
    assert rules(explained["others"]) == ["who"]
    assert "is as postgres, not as root" in explained["databases"].obstacles[1].detail
    at_night = ask(replace(ASKED, at_s=SUNDAY))
    assert rules(at_night["office"]) == ["schedule"]


def test_next_moment_is_told_where_only_hours_are_in_the_way() -> None:
    closed = tell(replace(ASKED, at_s=SUNDAY, identity=replace(ADA, kind="user"), knows_groups=True))
    assert closed.next_s == MONDAY - 2 * 3_600
    assert tell().next_s is None
    elsewhere = ask(replace(ASKED, at_s=SUNDAY, login="nobody"))
    assert elsewhere["office"].next_s is None


def test_leave_and_approvals_count() -> None:
    away = Away(starts_s=MONDAY - 60, ends_s=MONDAY + 600)
    on_leave = ask(circumstances=Circumstances(leaves=(away,)))
    assert rules(on_leave["office"]) == ["leave"]
    assert on_leave["office"].next_s == away.ends_s
    approval = Approval(seq=1, grant="urgent", given_by=frozenset({"bob"}), ends_s=MONDAY + 900)
    approved = ask(circumstances=Circumstances(approvals=(approval,)))
    assert (approved["urgent"].verdict, approved["urgent"].valid_before) == ("gives", MONDAY + 900)
    later = ask(replace(ASKED, at_s=MONDAY + 900), Circumstances(approvals=(approval,)))
    assert rules(later["urgent"]) == ["require.approvals"]


def test_kind_that_a_name_tells_by_its_form_is_known_of_everybody() -> None:
    named = POLICY.replace('users = ["oidc:eve"]', 'services = ["mtls:spiffe://x/eve", "api:eve"]')
    as_user = parse(named.replace("services", "users").replace('"mtls:spiffe://x/eve", ', ""))
    eve = Identity(provider="mtls", subject="spiffe://x/eve", kind="user", authenticated_ms=0)
    for policy, who, verdict in (
        (parse(named), eve, "gives"),
        (parse(named), replace(eve, provider="api", subject="eve"), "gives"),
        (as_user, replace(eve, provider="api", subject="eve"), "gives"),
        (parse(named), replace(eve, subject="eve"), "refuses"),
    ):
        explanation = explain(policy, replace(ASKED, identity=who), max_ttl_s=86_400)
        (others,) = (each for each in explanation.grants if each.filed.grant.name == "others")
        assert others.verdict == verdict


def barred(locks: Locks, question: Question = ASKED, phase: str = "signing") -> dict[str, Explained]:
    bars = find_bars(parse(), locks, question.identity, {"acme": phase})
    explanation = explain(parse(), question, bars=bars, max_ttl_s=31 * 86_400)
    return {each.filed.grant.name: each for each in explanation.grants}


def placed(kind: LockKind, name: str) -> Locks:
    locks = Locks()
    locks.place(Lock(seq=17, target=Target(kind, name)))
    return locks


def test_lock_is_in_the_way_of_every_grant_and_opens_at_no_moment() -> None:
    closed = barred(placed("identity", "oidc:ada"), replace(ASKED, at_s=SUNDAY))["office"]
    assert rules(closed) == ["lock", "schedule"]
    assert closed.obstacles[0].detail == "the identity oidc:ada is locked (entry 17)"
    assert (closed.next_s, closed.valid_before) == (None, None)


def test_lock_on_a_group_of_a_provider_bars_what_only_its_members_have() -> None:
    one = barred(placed("group", "oidc:ops"))
    assert (rules(one["ops"]), rules(one["office"])) == (["lock"], [])
    member = replace(ASKED, identity=replace(ADA, groups=frozenset({"oidc:ops"})))
    assert rules(barred(placed("group", "oidc:ops"), member)["office"]) == ["lock"]


@pytest.mark.parametrize(
    ("locks", "phase", "said"),
    [
        (placed("ca", "users"), "signing", "the ca users is locked (entry 17)"),
        (Locks(), "halted", "the CA users is halted"),
        (Locks(), "none", "the CA users has no key that signs"),
    ],
)
def test_ca_that_signs_nothing_is_in_the_way(locks: Locks, phase: str, said: str) -> None:
    office = barred(locks, phase=phase)["office"]
    assert [obstacle.detail for obstacle in office.obstacles] == [said]


def test_of_a_grant_for_two_customers_what_one_s_ca_signs_is_given() -> None:
    beta = (
        '[[customer]]\nname = "beta"\nuser_ca = "bu"\nhost_ca = "bh"\n'
        '[[host_group]]\nname = "far"\ncustomer = "beta"\nmatch = { role = "web" }\n'
    )
    policy = parse(
        POLICY.replace("[[grant]]", f"{beta}[[grant]]", 1).replace('on = ["db"]', 'on = ["db", "far"]')
    )
    anywhere = Question(identity=ADA, at_s=MONDAY)
    for signs, given in (("acme", ("postgres@db",)), ("beta", ("postgres@far",))):
        phases = {name: "signing" if name == signs else "none" for name in ("acme", "beta")}
        bars = find_bars(policy, Locks(), ADA, phases)
        explanation = explain(policy, anywhere, bars=bars, max_ttl_s=86_400)
        (databases,) = (each for each in explanation.grants if each.filed.grant.name == "databases")
        assert (databases.verdict, databases.principals) == ("gives", given)


def test_grant_does_not_open_after_its_approval_has_ended() -> None:
    policy = parse(POLICY.replace('name = "urgent"\n', 'name = "urgent"\nwhen = "office"\n'))
    opens_s = MONDAY - 2 * 3_600
    for ends_s, next_s in ((opens_s + 59, None), (opens_s + 60, opens_s)):
        approval = Approval(seq=1, grant="urgent", given_by=frozenset({"bob"}), ends_s=ends_s)
        around = Circumstances(approvals=(approval,))
        explanation = explain(policy, replace(ASKED, at_s=SUNDAY), around, max_ttl_s=86_400)
        (urgent,) = (each for each in explanation.grants if each.filed.grant.name == "urgent")
        assert (rules(urgent), urgent.next_s) == (["schedule"], next_s)


def test_next_moment_is_that_of_all_grants_and_not_of_those_that_are_shown() -> None:
    closed = "".join(
        f'[[schedule]]\nname = "s{number}"\ntimezone = "UTC"\nwindows = ["{day} 08:00-18:00"]\n'
        f'[[grant]]\nname = "m{number}"\nwho = {{ users = ["oidc:zoe"] }}\non = ["web"]\nas = ["root"]\n'
        f'when = "s{number}"\n'
        for number, day in enumerate(["fri"] * MAX_EXPLAINED + ["tue"])
    )
    zoe = Question(identity=replace(ADA, subject="zoe"), at_s=MONDAY, host=WEB, knows_groups=True)
    explanation = explain(parse(POLICY + closed), zoe, max_ttl_s=86_400)
    assert explanation.next_s == int(datetime.fromisoformat("2026-03-03T08:00:00+00:00").timestamp())


def test_person_is_told_of_each_grant_by_the_account_to_which_it_gives_most() -> None:
    eve, ldap = replace(ADA, subject="eve"), replace(ADA, provider="ldap")
    cases = [Case(question=replace(ASKED, identity=each, at_s=MONDAY)) for each in (ldap, eve, ADA)]
    explained = explain_person(parse(), cases, max_ttl_s=86_400).grants
    assert {each.filed.grant.name: (str(each.identity), each.verdict) for each in explained} == {
        "office": ("oidc:ada", "gives"),
        "others": ("oidc:eve", "gives"),
        "ops": ("ldap:ada", "depends"),
        "urgent": ("oidc:ada", "refuses"),
        "databases": ("oidc:ada", "refuses"),
    }


def test_grants_to_others_are_shown_only_to_who_may_see_everyone() -> None:
    assert "others" not in ask(replace(ASKED, everyone=False))


def test_what_is_not_named_is_any() -> None:
    anywhere = ask(Question(identity=ADA, at_s=MONDAY))
    assert anywhere["office"].principals == ("deploy@web", "root@web")
    assert anywhere["databases"].principals == ("postgres@db",)
    assert "others" not in anywhere
    databases = ask(replace(ASKED, host=None, host_group="db"))
    assert databases["ops"].principals == ("root@db",)


def test_grants_beyond_the_most_that_are_shown_are_counted() -> None:
    many = POLICY + "".join(
        f'[[grant]]\nname = "g{number}"\nwho = {{ users = ["oidc:ada"] }}\non = ["web"]\nas = ["root"]\n'
        for number in range(MAX_EXPLAINED)
    )
    explanation = explain(parse(many), ASKED, max_ttl_s=86_400)
    assert (len(explanation.grants), explanation.left_out) == (MAX_EXPLAINED, 5)
    assert explanation.grants[-1].verdict == "gives"
