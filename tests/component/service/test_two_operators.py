"""What the policy lets nobody order alone: one operator signs, another gives the order, both on record."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.load import entries
from support.service import POLICY, Service, make_service

TWO = """
[[operator]]
name = "frank"
keys = ["{frank}"]
roles = ["admin"]
[appliance]
two_operators = ["ca.create", "policy.apply", "credential.create"]
"""
NEW_KEY = ("ca", "create", "acme-spare", "--type", "user", "--customer", "acme", "--phase", "created")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    scratch = tmp_path_factory.mktemp("two")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", scratch / "frank"], check=True
    )
    frank = (scratch / "frank.pub").read_text().strip()
    policy = POLICY + TWO.replace("{frank}", frank)
    made = make_service(scratch, policy)
    with made.running():
        yield made


def give(service: Service, file: Path, operator: str, key: str, *, check: bool = True) -> str:
    done = service.cli(
        *("order", "give", file, "--operator", operator, "--key", service.scratch / key), check=check
    )
    return done.stdout + done.stderr


def test_order_by_one_operator_is_refused_and_says_how_two_order(service: Service) -> None:
    before = [entry["kind"] for entry in entries(service)].count("ca.created")
    refused = service.order(*NEW_KEY, check=False)
    assert refused.returncode != 0
    assert "two different operators" in refused.stderr
    assert "--sign-only" in refused.stderr
    assert [entry["kind"] for entry in entries(service)].count("ca.created") == before


def test_second_operator_sees_what_he_orders_and_gives_it(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "create-ca.json"
    signed = service.order(*NEW_KEY, "--sign-only", file)
    assert "nothing was done yet" in signed.stderr
    assert "chancery order give" in signed.stderr
    shown = service.cli("order", "show", file).stdout
    assert "ca.create" in shown
    assert "acme-spare" in shown
    assert "carol, until" in shown
    assert "on record as entry" in give(service, file, "frank", "frank")
    created = [entry for entry in entries(service) if entry["kind"] == "ca.created"][-1]["data"]
    assert [order["operator"] for order in created["orders"]] == ["carol", "frank"]
    assert "carried out before" in give(service, file, "frank", "frank", check=False)


def test_one_operator_cannot_be_both(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "create-ca.json"
    service.order(*NEW_KEY, "--sign-only", file)
    assert "two orders by one operator" in give(service, file, "carol", "carol", check=False)
    assert "not one of frank's keys" in give(service, file, "frank", "carol", check=False)


def test_changed_command_is_nobody_s_order(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "create-ca.json"
    service.order(*NEW_KEY, "--sign-only", file)
    content = json.loads(file.read_text())
    content["command"]["algorithm"] = "rsa-4096"
    file.write_text(json.dumps(content))
    assert "not one of carol's keys over this command" in give(service, file, "frank", "frank", check=False)
    file.write_text("{}")
    assert "not what --sign-only leaves" in give(service, file, "frank", "frank", check=False)


def test_policy_that_ends_the_rule_needs_two_itself(service: Service, tmp_path: Path) -> None:
    relaxed, file = tmp_path / "policy.toml", tmp_path / "apply.json"
    text = (service.scratch / "policy.toml").read_text()
    relaxed.write_text(text.replace('"ca.create", "policy.apply", "credential.create"', '"ca.create"'))
    refused = service.order("policy", "apply", relaxed, check=False)
    assert "two different operators" in refused.stderr
    service.order("policy", "apply", relaxed, "--sign-only", file)
    give(service, file, "frank", "frank")
    applied = [entry for entry in entries(service) if entry["kind"] == "policy.applied"]
    assert len(applied) == 2
    # Under the new policy one is enough; the ledger with both kinds of orders verifies.
    service.order("credential", "create", "portal", "--kind", "service")
    report = json.loads(service.cli("ledger", "verify", "--json").stdout)
    assert report["verdict"] == "verified"


@pytest.mark.parametrize(
    ("verbs", "problem"),
    [
        ('"host.add"', "operators with a key that may order host.add: carol; expected two"),
        ('"ca.destroy"', "expected one of policy.apply"),
        ('"ca.create", "ca.create"', "two_operators"),
    ],
)
def test_rule_that_nobody_could_meet_is_found_by_the_check(
    service: Service, tmp_path: Path, verbs: str, problem: str
) -> None:
    file = tmp_path / "policy.toml"
    text = POLICY.format(key=" ".join((service.scratch / "carol.pub").read_text().split()[:2]))
    file.write_text(text + f"[appliance]\ntwo_operators = [{verbs}]\n")
    done = service.cli("policy", "check", file, check=False)
    assert done.returncode != 0
    assert problem in done.stderr
