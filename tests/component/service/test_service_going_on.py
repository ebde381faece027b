"""Whoever cuts somebody off without revoking is told what goes on: by each verb, and over HTTPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.load import BODY
from support.service import HOST, POLICY, Service, make_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = make_service(tmp_path_factory.mktemp("going-on"))
    with made.running(CHANCERY_SERVICE_WORKERS="1"):
        made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        yield made


def order(service: Service, *arguments: object) -> Any:
    return json.loads(service.order(*arguments, "--json").stdout)


def goes_on(said: Any, serial: str, *principals: str) -> None:
    (live,) = [each for each in said["live"] if each["serial"] == serial]
    assert tuple(live["principals"]) == principals
    assert said["live_count"] == len(said["live"])
    assert "these certificates are not revoked by it" in said["note"]
    assert "sessions that are open go on too" in said["note"]


def test_revoked_credential_leaves_certificates_which_are_listed_with_what_ends_them(
    service: Service,
) -> None:
    (issued,) = service.issue({**BODY, "host_groups": ["web"]}, as_="alice")
    id_ = service.credential("alice").split(".")[1]
    said = service.http("POST", f"/v1/credentials/{id_}/revoke", {"reason": "left"}, as_="carol")
    assert said.status == 200, said.body
    goes_on(said.json, issued["serial"], "deploy@web")
    assert "`cert revoke --subject api:alice` ends them" in said.json["note"]
    shown = service.cli("credential", "revoke", id_, "--reason", "left")
    assert issued["serial"] in shown.stdout
    assert "it had been revoked before" in shown.stderr
    assert "not revoked by it" in shown.stderr
    service.cli("cert", "revoke", "--subject", "api:alice", "--reason", "left")
    nothing = json.loads(service.cli("credential", "revoke", id_, "--reason", "left", "--json").stdout)
    assert (nothing["live"], nothing["live_count"]) == ([], 0)
    assert "no certificate of it is live" in nothing["note"]


def test_removed_host_keeps_its_certificate_which_is_listed(service: Service, tmp_path: Path) -> None:
    name = "gone.acme.example"
    order(service, "host", "add", name, "--customer", "acme", "--label", "role=web")
    (tmp_path / "host.pub").write_text(str(BODY["public_key"]))
    signed = service.cli("cert", "sign", tmp_path / "host.pub", "--for-host", name, "--json").stdout
    serial = json.loads(signed)["certificates"][0]["serial"]
    said = order(service, "host", "remove", name)
    goes_on(said, serial, name)
    assert said["live"][0]["subject"] == f"host:{name}"


def test_policy_that_takes_access_away_lists_what_is_live_of_that_and_nothing_else(
    service: Service, tmp_path: Path
) -> None:
    (lost,) = service.issue({**BODY, "logins": ["root"]}, as_="bob")
    (kept,) = service.issue({**BODY, "logins": ["deploy"]}, as_="bob")
    key = " ".join((service.scratch / "carol.pub").read_text().split()[:2])
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(key=key).replace('as = ["deploy", "root"]', 'as = ["deploy"]'))
    said = order(service, "policy", "apply", policy)
    goes_on(said, lost["serial"], "root@web")
    assert kept["serial"] not in {each["serial"] for each in said["live"]}
    again = order(service, "policy", "apply", policy)
    assert "live" not in again, "it takes nothing away"


def test_retired_key_says_who_is_locked_out(service: Service) -> None:
    (issued,) = service.issue({**BODY, "logins": ["deploy"]}, as_="bob")
    (old,) = json.loads(service.cli("ca", "export", "acme-users", "--json").stdout)["keys"]
    order(service, "ca", "rotate", "acme-users")
    order(service, "ca", "promote", "acme-users", "--now")
    shown = service.order("ca", "retire", "acme-users", old["fingerprint"], "--force")
    assert issued["serial"] in shown.stdout
    assert "hosts that drop the key take them no more" in shown.stderr
