"""Plans of what a policy says beside its grants: nothing of it changes in silence."""

from __future__ import annotations

from datetime import date

import pytest

from appliance.policy.evaluate import Host
from appliance.policy.plan import plan
from appliance.policy.schedules import Calendar
from appliance.ssh.keys import fingerprint, format_public_key_line
from support.planned import NOW_S, POLICY, compare, lines, parse
from support.ssh_examples import public_key

KEYS = [format_public_key_line(public_key("ed25519", number)) for number in (8, 9)]
FULL = (
    POLICY
    + f"""
[[customer]]
name = "beta"
user_ca = "beta-users"
host_ca = "beta-hosts"
[[host_group]]
name = "alone"
customer = "beta"
hosts = ["a.example", "b.example"]
[[group]]
name = "owners"
members = ["oidc:olga"]
[[person]]
name = "olga"
identities = ["oidc:olga"]
keys = ["{KEYS[0]}"]
[[operator]]
name = "dave"
keys = ["{KEYS[0]}"]
roles = ["admin"]
[[operator]]
name = "spy"
identities = ["oidc:spy"]
roles = ["auditor"]
customers = ["acme"]
[appliance]
two_operators = ["policy.apply"]
trust_wait = "12h"
[[appliance.limit]]
name = "many"
who = {{ users = ["oidc:eve"], groups = ["dba"] }}
certificates_per_minute = 10
"""
)


@pytest.mark.parametrize(
    ("old", "new", "what", "before", "after"),
    [
        (
            'match = { role = "web" }',
            'match = { role = "app" }',
            "host group web",
            "hosts with role=web",
            "hosts with role=app",
        ),
        ('"a.example", "b.example"', '"a.example"', "host group alone", "b.example", ""),
        (
            'hosts = ["a.',
            'principals = "login"\nhosts = ["a.',
            "host group alone",
            "principals end in @alone",
            "principals are bare logins",
        ),
        (
            'host_ca = "beta-hosts"',
            'host_ca = "other"',
            "customer beta",
            "hosts' certificates by beta-hosts",
            "hosts' certificates by other",
        ),
        (
            'identities = ["oidc:olga"]',
            'identities = ["oidc:olga", "oidc:ada"]',
            "person olga",
            "",
            "oidc:ada",
        ),
        ('two_operators = ["policy.apply"]', "two_operators = []", "two_operators", "policy.apply", ""),
        ('trust_wait = "12h"', 'trust_wait = "1s"', "trust_wait", "12h", "1s"),
        (
            "per_minute = 10",
            "per_minute = 9\nburst = 20",
            "limit many",
            "10 certificates a minute, 10 at once",
            "9 certificates a minute, 20 at once",
        ),
        (
            'groups = ["dba"] }\ncert',
            'groups = ["dba", "oidc:ops"] }\ncert',
            "limit many",
            "",
            "group oidc:ops",
        ),
    ],
)
def test_setting_that_changes_is_named_with_what_changes(
    old: str, new: str, what: str, before: str, after: str
) -> None:
    assert old in FULL
    planned = compare(FULL.replace(old, new, 1), before=FULL)
    (setting,) = planned.settings
    assert (setting.what, ", ".join(setting.before), ", ".join(setting.after)) == (what, before, after)
    assert (planned.changes, planned.operators) == ((), ())


def test_key_that_signs_approvals_is_named_when_it_is_another() -> None:
    person = FULL.index("[[person]]")
    swapped = FULL[:person] + FULL[person:].replace(KEYS[0], KEYS[1], 1)
    (setting,) = compare(swapped, before=FULL).settings
    assert setting.what == "person olga"
    assert setting.before == (fingerprint(public_key("ed25519", 8)),)
    assert setting.after == (fingerprint(public_key("ed25519", 9)),)


def test_customer_that_comes_is_named_in_full() -> None:
    more = FULL + '[[customer]]\nname = "new"\nuser_ca = "n-users"\nhost_ca = "n-hosts"\n'
    (setting,) = compare(more, before=FULL).settings
    assert (setting.what, setting.before, len(setting.after)) == ("customer new", (), 2)


def test_host_group_of_another_customer_has_another_ca_and_whoever_is_on_it_is_told() -> None:
    planned = compare(
        FULL.replace('name = "db"\ncustomer = "acme"', 'name = "db"\ncustomer = "beta"'), before=FULL
    )
    assert lines(planned) == [("changes", "oidc:ada", "postgres@db"), ("changes", "oidc:bob", "postgres@db")]
    assert planned.changes[0].before[0].endswith("; signed by users")
    assert planned.changes[0].after[0].endswith("; signed by beta-users")
    assert [(each.what, each.before, each.after) for each in planned.settings] == [
        ("host group db", ("of acme",), ("of beta",))
    ]


def test_long_lists_are_shown_in_part_and_the_rest_is_counted() -> None:
    hosts = ", ".join(f'"h{number:03}.example"' for number in range(150))
    (setting,) = compare(
        FULL.replace('"a.example", "b.example"', f'"a.example", "b.example", {hosts}'), before=FULL
    ).settings
    assert (setting.before, len(setting.after)) == ((), 101)
    assert setting.after[-1] == "and 50 more"


def calendar(last_year: int, *days: date) -> Calendar:
    return Calendar(name="DE", first_year=2025, last_year=last_year, dates=frozenset(days))


def test_holidays_looked_up_anew_are_told_line_by_line_only_where_they_count_within_a_year() -> None:
    text = POLICY.replace('timezone = "Europe/Berlin"', 'timezone = "Europe/Berlin"\nholidays = "DE"')
    christmas, later = date(2025, 12, 25), date(2029, 12, 25)

    def look_up(before: Calendar, after: Calendar) -> tuple[set[str], list[tuple[str, str]]]:
        planned = plan(parse(text, before), parse(text, after), now_s=NOW_S)
        settings = [(", ".join(each.before), ", ".join(each.after)) for each in planned.settings]
        return {each.kind for each in planned.changes}, settings

    assert look_up(calendar(2035), calendar(2036, date(2036, 1, 1))) == (
        set(),
        [("known until 2035", "known until 2036")],
    )
    assert look_up(calendar(2025), calendar(2036)) == (
        {"loosens"},
        [("known until 2025", "known until 2036")],
    )
    assert look_up(calendar(2036), calendar(2036, christmas)) == ({"tightens"}, [("", "2025-12-25")])
    assert look_up(calendar(2036), calendar(2036, later)) == (set(), [("", "2029-12-25")])
    assert look_up(calendar(2036, date(2025, 5, 1)), calendar(2036)) == (set(), [])


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


def test_auditor_who_sees_all_customers_now_is_named() -> None:
    (operator,) = compare(FULL.replace('customers = ["acme"]', ""), before=FULL).operators
    assert operator.before == ("auditor", "of acme only", "oidc:spy")
    assert operator.after == ("auditor", "oidc:spy")


def test_operator_for_emergencies_is_named() -> None:
    (operator,) = compare(
        FULL.replace('name = "dave"', 'name = "dave"\nbreak_glass = true'), before=FULL
    ).operators
    assert set(operator.after) - set(operator.before) == {"for emergencies only"}
