"""Which entries are alarming, under which name, and which are not."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.alarms.rules import Alarm, find_alarms
from appliance.index.recorded import ReadEntry
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.ssh.keys import fingerprint, format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

KEY = format_public_key_line(public_key("ed25519", 7))
OTHER = format_public_key_line(public_key("ed25519", 8))
POLICY = f"""{ACME}[[grant]]
name = "daily"
who.users = ["mtls:alice"]
on = ["web"]
as = ["deploy"]
[[grant]]
name = "emergency"
who.users = ["mtls:alice"]
on = ["web"]
as = ["root"]
break_glass = true
[[operator]]
name = "carol"
keys = ["{KEY}"]
roles = ["admin"]
[[operator]]
name = "vault"
keys = ["{OTHER}"]
roles = ["enroller"]
break_glass = true
"""
DAVE = '[[operator]]\nname = "dave"\nidentities = ["mtls:d"]\nroles = ["admin"]\n'


def policy(text: str = POLICY) -> Policy:
    return parse_policy([PolicyFile(name="policy.toml", text=text)])


def ordered(verb: str, *operators: str) -> dict[str, Any]:
    orders = [
        {"operator": name, "policy": 2, "expires_s": 0, "signature": ""} for name in operators or ("carol",)
    ]
    return {"command": {"verb": verb}, "orders": orders}


def alarms(kind: str, data: dict[str, Any], before: Policy, after: Policy | None = None) -> list[Alarm]:
    entry = ReadEntry(17, 1_764_000_000_000, kind, data, b"")
    return list(find_alarms(entry, before, after or before))


def applied(before: str, after: str) -> list[Alarm]:
    data = {"files": [{"name": "policy.toml"}], **ordered("policy.apply")}
    return alarms("policy.applied", data, policy(before) if before else Policy(), policy(after))


def test_first_policy_makes_the_first_admin() -> None:
    changed, added = applied("", POLICY)
    assert (changed.event, changed.severity) == ("policy.changed", "warning")
    assert (added.event, added.severity) == ("admin.added", "critical")
    assert added.details["by"] == [fingerprint(public_key("ed25519", 7))]


@pytest.mark.parametrize(
    ("old", "new", "who"),
    [
        ('roles = ["enroller"]', 'roles = ["enroller", "admin"]', "vault"),
        ('roles = ["admin"]', 'identities = ["mtls:carol"]\nroles = ["admin"]', "carol"),
        ('name = "carol"', 'name = "mallory"', None),  # the same key under another name is the same person's
        (
            f'keys = ["{KEY}"]',
            f'keys = ["{KEY}", "{format_public_key_line(public_key("ed25519", 9))}"]',
            "carol",
        ),
        ('as = ["deploy"]', 'as = ["deploy", "logs"]', None),
        (
            '[[operator]]\nname = "vault"',
            f'{DAVE}[[operator]]\nname = "vault"',
            "dave",
        ),
    ],
)
def test_new_way_to_be_an_admin_is_an_alarm_and_no_other_change_is(
    old: str, new: str, who: str | None
) -> None:
    assert old in POLICY
    changed, *added = applied(POLICY, POLICY.replace(old, new))
    assert changed.event == "policy.changed"
    assert [each.details["operator"] for each in added] == ([] if who is None else [who])


@pytest.mark.parametrize("phase", ["created", "trusted", "signing", "retired"])
def test_every_phase_of_a_ca_key_is_an_alarm(phase: str) -> None:
    data = {"name": "users", "public_key": KEY, **ordered("ca.rotate")}
    (alarm,) = alarms(f"ca.{phase}", data, policy())
    assert (alarm.event, alarm.severity) == (f"ca.{phase}", "warning")
    assert alarm.details == {
        "ca": "users",
        "key": fingerprint(public_key("ed25519", 7)),
        "operators": ["carol"],
        "verb": "ca.rotate",
    }


def test_request_for_approval_is_an_alarm_that_names_who_may_answer() -> None:
    asking = policy(
        POLICY.replace(
            'as = ["root"]\n', 'as = ["root"]\nrequire = { approvals = 1, approvers = ["owners"] }\n'
        )
        + '[[group]]\nname = "owners"\nmembers = ["mtls:alice", "oidc:eve", "mtls:eve"]\n'
        + '[[person]]\nname = "eve"\nidentities = ["oidc:eve", "mtls:eve"]\n'
    )
    identity = {"provider": "mtls", "subject": "alice"}
    data = {"identity": identity, "grant": "emergency", "reason": "db is down", "answer_by_s": 1_764_003_600}
    (alarm,) = alarms("approval.requested", data, asking)
    assert (alarm.event, alarm.severity) == ("approval.requested", "warning")
    assert alarm.details["approvers"] == ["eve"], "one person, and never whoever asks"
    assert alarm.summary == "mtls:alice asks eve for approval 17, to use emergency: db is down"


def test_halted_key_is_critical() -> None:
    data = {"name": "users", "ca_key": "SHA256:x", "intent": 3, "reason": "bad signature"}
    (alarm,) = alarms("ca.halted", data, policy())
    assert (alarm.event, alarm.severity) == ("ca.halted", "critical")
    assert "bad signature" in alarm.summary


def intent(*grants: str, **request: str) -> dict[str, Any]:
    return {
        "identity": {"provider": "mtls", "subject": "alice"},
        "request": request,
        "ca": "users",
        "grants": [{"file": "policy.toml", "name": name} for name in grants],
    }


def test_certificate_by_a_grant_for_emergencies_is_critical_and_says_why() -> None:
    (alarm,) = alarms("certificate.intent", intent("daily", "emergency", reason="db is down"), policy())
    assert (alarm.event, alarm.severity) == ("break-glass", "critical")
    assert alarm.summary == "mtls:alice used emergency, for emergencies only: db is down"
    assert alarms("certificate.intent", intent("daily"), policy()) == []


def test_certificate_that_a_delegate_asked_for_names_the_person_and_who_asked() -> None:
    data = intent("emergency") | {"on_behalf_of": {"provider": "ad", "subject": "bob"}}
    (alarm,) = alarms("certificate.intent", data, policy())
    assert (
        alarm.summary == "ad:bob used by way of mtls:alice emergency, for emergencies only: no reason given"
    )


def test_order_by_an_operator_for_emergencies_is_critical_whatever_it_is() -> None:
    data = {"name": "web-1", "customer": "acme", **ordered("host.add", "carol", "vault")}
    (alarm,) = alarms("host.registered", data, policy())
    assert (alarm.event, alarm.severity) == ("break-glass", "critical")
    assert alarm.details == {"operators": ["vault"], "verb": "host.add", "kind": "host.registered"}


@pytest.mark.parametrize(
    "kind", ["heartbeat", "node.started", "certificate.issued", "host.registered", "credential.created"]
)
def test_what_happens_every_day_is_no_alarm(kind: str) -> None:
    assert alarms(kind, ordered("host.add"), policy()) == []
