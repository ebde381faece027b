"""The policy document: what is wrong with it is said with file, table and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.ssh.keys import format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

KEY = format_public_key_line(public_key("ed25519", 7))
GOOD = f"""{ACME}[[group]]
name = "staff"
members = ["mtls:alice"]
[[grant]]
name = "deploy"
who = {{ groups = ["staff"] }}
on = ["web"]
as = ["deploy"]
[[operator]]
name = "carol"
keys = ["{KEY}"]
roles = ["admin"]
"""

GRANT = """
[[grant]]
name = "deploy"
who = { users = ["mtls:a"] }
on = ["web"]
as = ["a"]
"""


def check(*texts: str) -> Policy:
    files = [PolicyFile(name=f"{number}.toml", text=text) for number, text in enumerate(texts)]
    policy = parse_policy(files)
    check_policy(policy)
    return policy


def problems(*texts: str) -> str:
    with pytest.raises(PolicyError) as raised:
        check(*texts)
    return str(raised.value)


def test_good_policy_has_its_defaults() -> None:
    grant = check(GOOD).grants[0].grant
    assert (grant.ttl_s, grant.source, grant.permit, grant.force_command) == (8 * 3600, None, (), None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1", "version = 2", "0.toml: version"),
        ("version = 1", "", "0.toml: version: is missing"),
        ('on = ["web"]', 'on = ["wep"]', 'grant "deploy": on[0]'),
        ('on = ["web"]', "on = []", 'grant "deploy": on'),
        ('on = ["web"]', 'on = ["web", "web"]', 'grant "deploy": on'),
        ('as = ["deploy"]', 'as = ["a,b"]', 'grant "deploy": as[0]'),
        ('as = ["deploy"]', 'as = ["deploy"]\nttl = "2y"', 'grant "deploy": ttl'),
        ('as = ["deploy"]', 'as = ["deploy"]\nttl = "400d"', 'grant "deploy": ttl'),
        ('as = ["deploy"]', 'as = ["deploy"]\nttl = 3600', 'grant "deploy": ttl'),
        ('as = ["deploy"]', 'as = ["deploy"]\nsource = []', 'grant "deploy": source'),
        ('as = ["deploy"]', 'as = ["deploy"]\nsource = ["10.0.0.1/8"]', 'grant "deploy": source'),
        ('as = ["deploy"]', 'as = ["deploy"]\npermit = ["all"]', 'grant "deploy": permit[0]'),
        ('as = ["deploy"]', 'as = ["deploy"]\nforce_command = ""', 'grant "deploy": force_command'),
        ('groups = ["staff"]', "", 'grant "deploy": who'),
        ('groups = ["staff"]', 'groups = ["nobody"]', 'grant "deploy": who'),
        ('groups = ["staff"]', 'users = ["alice"]', 'grant "deploy": who.users[0]'),
        ('members = ["mtls:alice"]', "members = []", 'group "staff": members'),
        ('match = { role = "web" }', "", 'host_group "web"'),
        ('customer = "acme"', 'customer = "other"', 'host_group "web": customer'),
        ('host_ca = "hosts"', 'host_ca = "users"', 'customer "acme": host_ca'),
        ('host_ca = "hosts"', 'host_ca = "hosts.sig"', "does not end in .sig"),
        ('roles = ["admin"]', 'roles = ["auditor"]', "nobody could ever change this policy"),
        ('roles = ["admin"]', 'roles = ["king"]', 'operator "carol": roles[0]'),
        (f'keys = ["{KEY}"]', "", "nobody could ever change this policy"),
        (f'keys = ["{KEY}"]', 'keys = ["ssh-ed25519 AAAA"]', 'operator "carol": keys[0]'),
        ('name = "web"', 'name = "Web"', "host_group"),
    ],
)
def test_problem_is_said_with_its_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert said in problems(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    "feature",
    [
        "[[quota]]\nname = 'office'",
        *(
            f"{GRANT.replace('deploy', 'x')}{line}"
            for line in (
                "sudo = true",
                "when.schedule = 'office'",
                "require = { attestation = true }",
                "require = { mfa = 'yes' }",
            )
        ),
    ],
)
def test_feature_that_this_version_has_not_is_refused(feature: str) -> None:
    assert re.search(
        "what it does not know it refuses|expected (text|true or false)", problems(GOOD + feature)
    )


def test_text_that_is_no_toml_is_one_problem() -> None:
    assert "0.toml: not TOML" in problems("version = ")
    assert "0.toml" in problems("a = " + "[" * 5000)


def test_name_that_two_tables_have_is_found() -> None:
    assert 'group "staff": there is another one of this name' in problems(GOOD, GOOD)
    assert 'grant "deploy": there is another one of this name' in problems(GOOD + GRANT)


def test_customers_own_file_speaks_of_that_customer_alone() -> None:
    other = 'version = 1\ncustomer = "acme"\n[[operator]]\nname = "eve"\nroles = ["admin"]\n'
    assert "a customer's own file cannot have such a table" in problems(GOOD, other)
    own = 'version = 1\ncustomer = "acme"\n[[host_group]]\nname = "db"\ncustomer = "acme"\nhosts = ["db-1"]\n'
    assert "db" in check(GOOD, own).host_groups


def test_example_of_the_documentation_is_a_policy() -> None:
    page = Path(__file__).parents[3] / "docs" / "policy.md"
    found = re.search(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert check(found[1]).grants[0].grant.name == "dba"


def test_first_policy_of_init_is_a_policy() -> None:
    template = Path(__file__).parents[3] / "appliance" / "setup" / "templates" / "policy.toml"
    text = (
        template.read_text("utf-8")
        .replace("$operator", "carol")
        .replace("$key", KEY)
        .replace("$user", "carol")
    )
    assert list(check(text).operators) == ["carol"]


LIMIT = """
[[appliance.limit]]
name = "all"
who = { groups = ["staff"] }
certificates_per_minute = 10
burst = 5
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('as = ["deploy"]', 'as = ["deploy"]\nbreak_glass = "no"', 'grant "deploy": break_glass'),
        ('roles = ["admin"]', 'roles = ["admin"]\nbreak_glass = 0', 'operator "carol": break_glass'),
        ("certificates_per_minute = 10", 'certificates_per_minute = "10"', "certificates_per_minute"),
        ("burst = 5", "burst = 5.0", "burst"),
    ],
)
def test_switch_is_true_or_false_and_a_number_is_one(old: str, new: str, said: str) -> None:
    check(GOOD + LIMIT)
    assert said in problems((GOOD + LIMIT).replace(old, new, 1))
