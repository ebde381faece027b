"""Hours, requirements and delegates in the document: what contradicts itself is said with its place."""

from __future__ import annotations

import pytest

from appliance.policy.check import check_policy, check_recorded
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.policy.holidays import with_holidays
from appliance.ssh.keys import format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

KEY, OTHER, THIRD = (format_public_key_line(public_key("ed25519", number)) for number in (7, 8, 9))
NOW_S = 1_764_000_000
GOOD = f"""{ACME}[[group]]
name = "owners"
members = ["mtls:ada", "mtls:bob"]
[[person]]
name = "ada"
identities = ["mtls:ada", "oidc:ada"]
keys = ["{OTHER}"]
[[person]]
name = "bob"
identities = ["mtls:bob"]
keys = ["{THIRD}"]
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00", "sat 22:00-06:00"]
holidays = "DE-BY"
[[grant]]
name = "deploy"
who = {{ users = ["oidc:ada"] }}
on = ["web"]
as = ["deploy"]
when = "office"
from = "2026-01-01"
until = 2026-12-31
delegates = ["mtls:portal"]
require = {{ key_types = ["sk-ssh-ed25519@openssh.com"], verify = true, touch = true, mfa = true, \
max_auth_age = "12h", reason = true, approvals = 1, approvers = ["owners"] }}
[[operator]]
name = "carol"
keys = ["{KEY}"]
roles = ["admin"]
"""


def check(text: str) -> Policy:
    policy = parse_policy([PolicyFile(name="0.toml", text=text)])
    check_policy(policy)
    return with_holidays(policy, NOW_S)


def problems(text: str) -> str:
    with pytest.raises(PolicyError) as raised:
        check(text)
    return str(raised.value)


def test_policy_with_every_limit_is_one() -> None:
    policy = check(GOOD)
    grant = policy.grants[0].grant
    assert (str(grant.first), str(grant.last), grant.require.max_auth_age_s) == (
        "2026-01-01",
        "2026-12-31",
        43_200,
    )
    assert policy.calendars["DE-BY"].last_year == 2035


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('when = "office"', 'when = "night"', 'grant "deploy": when: there is no schedule'),
        ("until = 2026-12-31", "until = 2025-12-31", 'grant "deploy": until: 2025-12-31 is before'),
        ("until = 2026-12-31", "until = 2026-12-31T10:00:00Z", 'grant "deploy": until: expected a day'),
        ("until = 2026-12-31", 'until = "31.12.2026"', 'grant "deploy": until: expected a day'),
        ('from = "2026-01-01"', 'from = "2026-02-30"', 'grant "deploy": from'),
        (
            'from = "2026-01-01"\nuntil = 2026-12-31',
            'from = "2026-02-03"\nuntil = "2026-02-04"\nwhen = "never"',
            "0.toml",
        ),
        ('["sk-ssh-ed25519@openssh.com"]', '["ssh-ed25519"]', 'grant "deploy": require.key_types: verify'),
        ('key_types = ["sk-ssh-ed25519@openssh.com"], ', "", 'grant "deploy": require.key_types: verify'),
        (
            'key_types = ["sk-ssh-ed25519@openssh.com"], verify = true, ',
            "",
            'grant "deploy": require.key_types: touch is what only hardware keys do',
        ),
        ('["sk-ssh-ed25519@openssh.com"]', '["ssh-dss"]', 'grant "deploy": require.key_types[0]'),
        ("approvals = 1", "approvals = 2", 'grant "deploy": require.approvals: nobody could get'),
        ("approvals = 1, ", "", 'grant "deploy": require.approvals: expected both'),
        (', approvers = ["owners"]', "", 'grant "deploy": require.approvals: expected both'),
        ('approvers = ["owners"]', 'approvers = ["nobody"]', 'grant "deploy": require.approvers[0]'),
        ('approvers = ["owners"]', 'approvers = ["oidc:owners"]', 'grant "deploy": require.approvers[0]'),
        ('members = ["mtls:ada", "mtls:bob"]', 'members = ["mtls:ada"]', "require.approvals: nobody could"),
        (f'keys = ["{THIRD}"]', "", "require.approvals: nobody could"),
        ("mfa = true", 'mfa = "yes"', 'grant "deploy": require.mfa'),
        ("mfa = true", "mfa = 1", 'grant "deploy": require.mfa'),
        ('max_auth_age = "12h"', "max_auth_age = 12", 'grant "deploy": require.max_auth_age'),
        ('delegates = ["mtls:portal"]', 'delegates = ["portal"]', 'grant "deploy": delegates[0]'),
        ('"Europe/Berlin"', '"Europe/Atlantis"', 'schedule "office": timezone'),
        ('"Europe/Berlin"', '"../../etc/passwd"', 'schedule "office": timezone'),
        ("mon-fri 08:00-18:00", "mon-fri 8-18", 'schedule "office": windows[0]'),
        ("mon-fri 08:00-18:00", "mon-fry 08:00-18:00", 'schedule "office": windows[0]'),
        ("mon-fri 08:00-18:00", "mon-fri 08:00-08:00", 'schedule "office": windows[0]'),
        ("mon-fri 08:00-18:00", "mon-fri 24:00-08:00", 'schedule "office": windows[0]'),
        ("mon-fri 08:00-18:00", "mon-fri 08:60-18:00", 'schedule "office": windows[0]'),
        ("mon-fri 08:00-18:00", "mon-fri 08:00-24:01", 'schedule "office": windows[0]'),
        ('["mon-fri 08:00-18:00", "sat 22:00-06:00"]', "[]", 'schedule "office": windows'),
        (
            'users = ["oidc:ada"]',
            'users = ["mtls:spiffe://x/a"]',
            'grant "deploy": who.users[0]: mtls:spiffe',
        ),
        (
            'users = ["oidc:ada"]',
            'services = ["oidc:a", "mtls:a"]',
            'grant "deploy": who.services[1]: mtls:a is',
        ),
        (
            'users = ["oidc:ada"]',
            'services = ["local:root"]',
            'grant "deploy": who.services[0]: local:root is',
        ),
        ('users = ["oidc:ada"]', 'users = ["mtls:ada", "local:eve"]', 'grant "deploy": require.mfa: nobody'),
        ('holidays = "DE-BY"', 'holidays = "Germany"', 'schedule "office": holidays'),
        ('holidays = "DE-BY"', 'holidays = "QQ"', 'schedule "office": holidays: no holidays'),
        ('holidays = "DE-BY"', 'holidays = "DE-XX"', 'schedule "office": holidays: no part'),
        ('name = "office"', 'name = "Office"', "schedule"),
    ],
)
def test_limit_that_cannot_hold_is_said_with_its_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert said in problems(GOOD.replace(old, new, 1))


def test_somebody_who_could_have_more_than_one_factor_is_enough() -> None:
    for who in (
        'users = ["mtls:ada", "oidc:eve"]',
        'groups = ["ldap:ops"]',
        'groups = ["owners", "oidc:ops"]',
    ):
        check(GOOD.replace('users = ["oidc:ada"]', who))


def test_policy_on_record_is_not_held_against_what_earlier_versions_let_pass() -> None:
    text = GOOD.replace('users = ["oidc:ada"]', 'users = ["mtls:spiffe://x/a"]')
    policy = parse_policy([PolicyFile(name="0.toml", text=text)])
    check_recorded(policy)
    with pytest.raises(PolicyError):
        check_policy(policy)


def test_days_on_which_the_schedule_is_always_shut_are_found() -> None:
    text = GOOD.replace(
        'from = "2026-01-01"\nuntil = 2026-12-31', 'from = "2026-02-01"\nuntil = "2026-02-01"'
    )
    check(text)  # a Sunday: the window that Saturday opened reaches into it
    without = text.replace(', "sat 22:00-06:00"', "")
    assert "is shut on all days from 2026-02-01 until 2026-02-01" in problems(without)


def test_two_schedules_of_one_name_are_found() -> None:
    twice = GOOD[GOOD.index("[[schedule]]") : GOOD.index("[[grant]]")]
    assert 'schedule "office": there is another one of this name' in problems(GOOD + twice)


def test_key_of_two_persons_is_refused() -> None:
    with pytest.raises(PolicyError, match="two persons need two keys"):
        check(GOOD.replace(THIRD, OTHER))


def test_two_grants_of_one_name_of_which_one_requires_approvals_are_refused() -> None:
    files = [PolicyFile(name="0.toml", text=GOOD)]
    more = '[[grant]]\nname = "deploy"\nwho = { users = ["mtls:bob"] }\non = ["web"]\nas = ["root"]\n'
    files.append(PolicyFile(name="1.toml", text=f"version = 1\n{more}"))
    with pytest.raises(PolicyError, match="approvals go by it"):
        check_policy(with_holidays(parse_policy(files), NOW_S))


def test_ca_of_two_customers_is_refused() -> None:
    other = '[[customer]]\nname = "globex"\nuser_ca = "users"\nhost_ca = "globex-hosts"\n'
    with pytest.raises(PolicyError, match="the hosts of both would trust it"):
        check(GOOD.replace("[[host_group]]", f"{other}[[host_group]]", 1))
