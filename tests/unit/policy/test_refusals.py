"""What a denial says: which of what was asked for nothing gives, and what would have been allowed."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.identity.identity import Identity
from appliance.networks import parse_networks
from appliance.policy.check import check_policy
from appliance.policy.document import PolicyFile, parse_policy
from appliance.policy.evaluate import Denial, evaluate_user
from appliance.requests import UserRequest
from appliance.ssh.keys import format_public_key_line
from support.ssh_examples import public_key

NOW_S = 1_764_000_000  # 2025-11-24, a Monday, at 16:00 in UTC
POLICY = f"""
version = 1
[[customer]]
name = "acme"
user_ca = "users"
host_ca = "hosts"
[[customer]]
name = "other"
user_ca = "other-users"
host_ca = "other-hosts"
[[host_group]]
name = "web"
customer = "acme"
match = {{ role = "web" }}
[[host_group]]
name = "db"
customer = "acme"
match = {{ role = "db" }}
[[schedule]]
name = "saturdays"
timezone = "UTC"
windows = ["sat 08:00-18:00"]
[[operator]]
name = "carol"
keys = ["{format_public_key_line(public_key("ed25519", 7))}"]
roles = ["admin"]
[[grant]]
name = "deploy"
who.users = ["mtls:alice"]
on = ["web"]
as = ["deploy"]
permit = ["pty", "port-forwarding"]
source = ["10.0.0.0/8"]
[[grant]]
name = "logs"
who.users = ["mtls:alice"]
on = ["web"]
as = ["logs"]
[[grant]]
name = "sat"
who.users = ["mtls:alice"]
on = ["db"]
as = ["root"]
when = "saturdays"
"""
ALICE = Identity(provider="mtls", subject="alice", kind="user", authenticated_ms=NOW_S * 1000)


def deny(*, now_s: int = NOW_S, **asked: Any) -> Denial:
    policy = parse_policy([PolicyFile(name="policy.toml", text=POLICY)])
    check_policy(policy)
    request = UserRequest(public_key=public_key("ed25519", 1), **asked)
    outcome = evaluate_user(policy, {}, ALICE, request, now_s=now_s, max_ttl_s=86_400)
    assert isinstance(outcome, Denial)
    return outcome


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ({"grant": "nope"}, "no grant of yours is called 'nope'"),
        ({"grant": "nope", "hosts": ("db-1.example",)}, "no grant of yours is called 'nope'"),
        ({"customer": "other"}, "no grant of yours is on hosts of the customer 'other'"),
        ({"customer": "nope", "logins": ("root",)}, "no grant of yours is on hosts of the customer 'nope'"),
        (
            {"grant": "logs", "customer": "other"},
            "no grant of yours called 'logs' is on hosts of the customer 'other'",
        ),
        ({"grant": "logs", "logins": ("root",)}, "no grant of yours called 'logs' gives login 'root'"),
        (
            {"customer": "acme", "logins": ("nobody",)},
            "no grant of yours gives login 'nobody' of the customer 'acme'",
        ),
        (
            {"host_groups": ("db",), "logins": ("logs",)},
            "no grant of yours gives login 'logs' on host group 'db'",
        ),
        ({"hosts": ("gone.example",)}, "no grant of yours gives host 'gone.example'"),
    ],
)
def test_denial_names_what_no_grant_gives(asked: dict[str, Any], detail: str) -> None:
    denial = deny(**asked)
    assert (denial.rule, denial.detail) == ("default-deny", detail)


def test_what_a_grant_that_is_shut_gives_is_not_allowed() -> None:
    assert deny(grant="nope").allowed == ("deploy@web", "logs@web")
    shut = deny(grant="sat")
    assert (shut.rule, shut.allowed) == ("schedule", ("deploy@web", "logs@web"))
    assert shut.next_s is not None


def test_what_is_shut_now_is_allowed_at_a_time_when_it_is_open() -> None:
    friday = NOW_S + 4 * 86_400
    assert "root@db" not in deny(now_s=friday, grant="nope").allowed
    assert "root@db" in deny(now_s=friday, grant="nope", start_s=friday + 3_600).allowed


def test_denial_of_more_than_a_grant_gives_says_what_it_does() -> None:
    permits = deny(grant="deploy", permit=("agent-forwarding", "pty"))
    assert permits.rule == "narrowing"
    assert permits.detail == (
        "grant 'deploy' does not permit agent-forwarding: it permits pty, port-forwarding"
    )
    assert deny(grant="logs", permit=("pty",)).detail == (
        "grant 'logs' does not permit pty: it permits nothing"
    )
    sources = deny(grant="deploy", source=parse_networks(["192.0.2.0/24"]))
    assert (sources.rule, sources.detail) == (
        "narrowing",
        "grant 'deploy' allows only the sources 10.0.0.0/8",
    )
