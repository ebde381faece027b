"""Plans: who gains and who loses what, which limits move, and nothing about what only reads differently."""

from __future__ import annotations

import pytest

from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Host
from appliance.policy.plan import MAX_CHANGES, Plan, plan
from appliance.ssh.keys import fingerprint, format_public_key_line
from support.ssh_examples import public_key

KEY = format_public_key_line(public_key("ed25519", 7))
POLICY = f"""
version = 1
[[customer]]
name = "acme"
user_ca = "users"
host_ca = "hosts"
[[host_group]]
name = "web"
customer = "acme"
match = {{ role = "web" }}
[[host_group]]
name = "db"
customer = "acme"
match = {{ role = "db" }}
[[group]]
name = "dba"
members = ["oidc:ada", "oidc:bob"]
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00"]
[[operator]]
name = "carol"
keys = ["{KEY}"]
roles = ["admin"]
[[grant]]
name = "dba"
who = {{ groups = ["dba"] }}
on = ["db"]
as = ["postgres"]
ttl = "8h"
when = "office"
[[grant]]
name = "ops"
who = {{ groups = ["oidc:ops"], users = ["oidc:eve"] }}
on = ["web"]
as = ["root"]
source = ["10.0.0.0/8"]
permit = ["pty"]
"""


def parse(text: str) -> Policy:
    policy = parse_policy([PolicyFile(name="policy.toml", text=text)])
    check_policy(policy)
    return policy


def compare(after: str, *hosts: Host, before: str = POLICY) -> Plan:
    return plan(parse(before), parse(after), hosts)


def lines(planned: Plan) -> list[tuple[str, str, str]]:
    return [(each.kind, each.who, f"{each.login}@{each.host_group}") for each in planned.changes]


def change(old: str, new: str) -> Plan:
    assert old in POLICY
    return compare(POLICY.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "ops"', 'name = "operations"'),
        ('name = "office"', 'name = "working-hours"\n'),
        ('members = ["oidc:ada", "oidc:bob"]', 'members = ["oidc:bob", "oidc:ada"]'),
        ('who = { groups = ["dba"] }', 'who = { users = ["oidc:ada", "oidc:bob"] }'),
        ('ttl = "8h"', 'ttl = "480m"'),
    ],
)
def test_what_only_reads_differently_changes_nothing(old: str, new: str) -> None:
    text = POLICY.replace(old, new, 1)
    if "working-hours" in new:
        text = text.replace('when = "office"', 'when = "working-hours"')
    planned = compare(text)
    assert (planned.changes, dict(planned.counts), planned.complete) == ((), {}, True)


def test_new_member_gains_and_old_one_loses_what_the_groups_grants_give() -> None:
    planned = change('members = ["oidc:ada", "oidc:bob"]', 'members = ["oidc:ada", "oidc:dan"]')
    assert lines(planned) == [
        ("loses", "oidc:bob", "postgres@db"),
        ("gains", "oidc:dan", "postgres@db"),
    ]
    assert planned.changes[1].before == ()
    assert planned.changes[1].after == ("8h; mon-fri 08:00-18:00 Europe/Berlin",)


def test_group_of_a_provider_is_shown_as_a_group() -> None:
    assert lines(change('as = ["root"]', 'as = ["root", "app"]')) == [
        ("gains", "group oidc:ops", "app@web"),
        ("gains", "oidc:eve", "app@web"),
    ]


def test_access_that_another_grant_gives_as_well_is_not_lost() -> None:
    other = (
        '[[grant]]\nname = "more"\nwho = { users = ["oidc:eve"] }\non = ["web"]\nas = ["root"]\nttl = "1d"\n'
    )
    both = POLICY + other + 'permit = ["pty"]\n'
    assert lines(compare(POLICY, before=both)) == [("tightens", "oidc:eve", "root@web")]
    no_longer_eve = both.replace(', users = ["oidc:eve"] }', " }", 1)
    assert lines(compare(no_longer_eve, before=both)) == []


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('ttl = "8h"', 'ttl = "9h"', "loosens"),
        ('ttl = "8h"', 'ttl = "7h"', "tightens"),
        ('when = "office"', "", "loosens"),
        ("mon-fri 08:00-18:00", "mon-fri 09:00-17:00", "tightens"),
        ("mon-fri 08:00-18:00", "mon-sat 08:00-18:00", "loosens"),
        ("mon-fri 08:00-18:00", "tue-sat 08:00-18:00", "changes"),
        ("Europe/Berlin", "Europe/Paris", "changes"),
        ('timezone = "Europe/Berlin"', 'timezone = "Europe/Berlin"\nholidays = "DE"', "tightens"),
        ('when = "office"', 'when = "office"\nuntil = "2030-01-01"', "tightens"),
        ('when = "office"', 'when = "office"\ndelegates = ["mtls:portal"]', "loosens"),
        ('when = "office"', 'when = "office"\nrequire = { mfa = true }', "tightens"),
        ('when = "office"', 'when = "office"\nforce_command = "true"', "tightens"),
        ('ttl = "8h"', 'ttl = "9h"\nrequire = { reason = true }', "changes"),
    ],
)
def test_limits_that_move_are_looser_or_tighter_or_neither(old: str, new: str, kind: str) -> None:
    assert {(each.kind, each.who) for each in change(old, new).changes} == {
        (kind, "oidc:ada"),
        (kind, "oidc:bob"),
    }


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('source = ["10.0.0.0/8"]', "", "loosens"),
        ('source = ["10.0.0.0/8"]', 'source = ["10.1.0.0/16"]', "tightens"),
        ('source = ["10.0.0.0/8"]', 'source = ["10.0.0.0/8", "11.0.0.0/8"]', "loosens"),
        ('source = ["10.0.0.0/8"]', 'source = ["192.0.2.0/24"]', "changes"),
        ('permit = ["pty"]', "permit = []", "tightens"),
    ],
)
def test_sources_and_extensions_are_compared_as_sets(old: str, new: str, kind: str) -> None:
    assert {each.kind for each in change(old, new).changes} == {kind}


def test_hosts_that_come_and_go_are_named() -> None:
    hosts = [
        Host(name=f"{role}-1", customer="acme", names=(f"{role}-1",), labels=(("role", role),), seq=1)
        for role in ("web", "db", "app")
    ]
    planned = compare(POLICY.replace('match = { role = "web" }', 'match = { role = "app" }'), *hosts)
    assert [(each.host_group, each.gains, each.loses) for each in planned.hosts] == [
        ("web", ("app-1",), ("web-1",))
    ]


def test_operators_that_change_are_named() -> None:
    more = POLICY.replace('roles = ["admin"]', 'roles = ["admin", "auditor"]\nidentities = ["oidc:eve"]')
    (operator,) = compare(more).operators
    key = fingerprint(public_key("ed25519", 7))
    assert (operator.name, operator.before) == ("carol", ("admin", key))
    assert operator.after == ("admin", "auditor", "oidc:eve", key)


def test_changes_beyond_the_most_that_are_shown_are_counted() -> None:
    members = ", ".join(f'"oidc:u{number}"' for number in range(MAX_CHANGES + 7))
    planned = change('members = ["oidc:ada", "oidc:bob"]', f"members = [{members}]")
    assert (len(planned.changes), planned.left_out) == (MAX_CHANGES, 9)
    assert planned.to_data()["counts"] == {
        "gains": MAX_CHANGES + 7,
        "loses": 2,
        "loosens": 0,
        "tightens": 0,
        "changes": 0,
    }
