"""Plans: who gains and who loses what, which limits move, and nothing about what only reads differently."""

from __future__ import annotations

import pytest

from appliance.policy.planning.place import MAX_CHANGES
from support.planned import POLICY, change, compare, lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "ops"', 'name = "operations"'),
        ('name = "office"', 'name = "working-hours"\n'),
        ('members = ["oidc:ada", "oidc:bob"]', 'members = ["oidc:bob", "oidc:ada"]'),
        ('name = "dba"\nmembers', 'name = "dbas"\nmembers'),
        ('ttl = "8h"', 'ttl = "480m"'),
        ("mon-fri 08:00-18:00", "mon,tue,wed,thu,fri 08:00-18:00"),
    ],
)
def test_what_only_reads_differently_changes_nothing(old: str, new: str) -> None:
    text = POLICY.replace(old, new, 1)
    if "working-hours" in new:
        text = text.replace('when = "office"', 'when = "working-hours"')
    if "dbas" in new:
        text = text.replace('groups = ["dba"]', 'groups = ["dbas"]')
    assert compare(text).is_empty


def test_window_over_midnight_is_two_of_its_days_unless_there_are_holidays() -> None:
    over_midnight = POLICY.replace("mon-fri 08:00-18:00", "fri,sun 22:00-06:00")
    split = POLICY.replace('"mon-fri 08:00-18:00"', '"fri,sun 22:00-24:00", "sat,mon 00:00-06:00"')
    assert compare(split, before=over_midnight).is_empty
    free = [text.replace('Berlin"', 'Berlin"\nholidays = "DE"') for text in (over_midnight, split)]
    assert {each.kind for each in compare(free[1], before=free[0]).changes} == {"changes"}


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
    # The other lasts longer; of a request for less the first one of the document was what counted.
    (changed,) = compare(no_longer_eve, before=both).changes
    assert (changed.kind, changed.before[0]) == ("changes", "8h; pty; from 10.0.0.0/8")
    assert (changed.before[1:], changed.after) == (("1d; pty",), ("1d; pty",))
    the_wider_first = compare(
        POLICY.replace("[[grant]]", f"{other}permit = ['pty']\n[[grant]]", 1), before=both
    )
    assert lines(the_wider_first) == [("changes", "oidc:eve", "root@web")]
    later = POLICY.replace("[[grant]]", f"{other}permit = ['pty']\n[[grant]]", 1)
    assert compare(later.replace(', users = ["oidc:eve"] }', " }", 1), before=later).is_empty


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'users = ["oidc:eve"]',
            'services = ["oidc:eve"]',
            [("loses", "oidc:eve"), ("gains", "service oidc:eve")],
        ),
        (
            'users = ["oidc:eve"]',
            'users = ["oidc:eve"], services = ["oidc:eve"]',
            [("gains", "service oidc:eve")],
        ),
        (
            'groups = ["oidc:ops"], users = ["oidc:eve"]',
            'groups = ["oidc:ops", "dba"], users = ["oidc:eve"]',
            [("gains", "oidc:ada"), ("gains", "oidc:bob")],
        ),
    ],
)
def test_services_are_told_from_users_where_they_have_something_else(
    old: str, new: str, expected: list[tuple[str, str]]
) -> None:
    assert [(each.kind, each.who) for each in change(old, new).changes] == expected


def test_grant_of_fewer_hours_after_one_of_all_counts_for_whoever_asks_ahead() -> None:
    wide = '[[grant]]\nname = "wide"\nwho = { users = ["oidc:eve"] }\non = ["db"]\nas = ["app"]\n'
    office = wide.replace("wide", "more") + 'when = "office"\n'
    # When the office opens tomorrow, a certificate of that hour lasts longer than one of this evening.
    planned = compare(POLICY + wide, before=POLICY + wide + office)
    assert lines(planned) == [("changes", "oidc:eve", "app@db")]
    assert compare(POLICY + wide, before=POLICY + wide + wide.replace("wide", "more")).is_empty


def test_account_named_as_a_user_and_by_a_group_of_no_kind_is_told_of_both() -> None:
    planned = compare(POLICY.replace('groups = ["dba"]', 'users = ["oidc:ada", "oidc:bob"]', 1))
    assert {(each.kind, each.who) for each in planned.changes} == {
        ("loses", "service oidc:ada"),
        ("loses", "service oidc:bob"),
    }


def test_order_counts_for_whoever_has_one_thing_by_name_and_another_by_a_providers_group() -> None:
    grants = [
        f'[[grant]]\nname = "{name}"\nwho = {{ {who} }}\non = ["db"]\nas = ["app"]\npermit = [{permit}]\n'
        for name, who, permit in (
            ("one", 'groups = ["oidc:ops"]', ""),
            ("two", 'users = ["oidc:ada"]', '"pty"'),
            ("three", 'users = ["oidc:bob"]', ""),
        )
    ]
    planned = compare(POLICY + grants[1] + grants[0] + grants[2], before=POLICY + "".join(grants))
    assert planned.changes == ()
    (setting,) = planned.settings
    assert (setting.what, setting.before, setting.after) == (
        "order at app@db",
        ("8h before 8h; pty",),
        ("8h; pty before 8h",),
    )
    assert compare(POLICY + grants[2] + grants[0] + grants[1], before=POLICY + "".join(grants)).is_empty


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
        ('when = "office"', 'when = "office"\nbreak_glass = true', "tightens"),
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
