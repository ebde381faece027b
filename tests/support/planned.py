"""A policy for plans, and what another one would change of it."""

from __future__ import annotations

from typing import Final

from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Host
from appliance.policy.plan import Plan, plan
from appliance.policy.planning.standing import Standing
from appliance.policy.schedules import Calendar
from appliance.ssh.keys import format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

NOW_S: Final = 1_764_000_000  # 2025-11-24, a Monday, 16:00 in UTC
KEY = format_public_key_line(public_key("ed25519", 7))
POLICY = f"""{ACME}[[host_group]]
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


def parse(text: str, *calendars: Calendar) -> Policy:
    policy = parse_policy([PolicyFile(name="policy.toml", text=text)], calendars)
    check_policy(policy)
    return policy


def compare(after: str, *hosts: Host, before: str = POLICY, standing: Standing | None = None) -> Plan:
    return plan(parse(before), parse(after), hosts, standing, now_s=NOW_S)


def lines(planned: Plan) -> list[tuple[str, str, str]]:
    return [(each.kind, each.who, f"{each.login}@{each.host_group}") for each in planned.changes]


def change(old: str, new: str) -> Plan:
    assert old in POLICY
    return compare(POLICY.replace(old, new, 1))
