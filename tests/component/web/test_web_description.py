"""The description against the running service: schemathesis asks for all it says, and judges the answers.

Every operation, with values that fit and values that do not, with other methods, without a credential, and in
sequences where one answer leads to the next request; all of its checks are on (tests/support/described.toml).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.directory import running_directory
from support.service import HOST, POLICY, Service, make_service

SUPPORT: Final = Path(__file__).parents[2] / "support"
EVERYTHING: Final = """
[[grant]]
name = "all"
who.services = ["api:everything"]
on = ["web"]
as = ["deploy"]
[[operator]]
name = "everything"
identities = ["api:everything"]
roles = ["admin", "auditor", "enroller", "operator"]
[[person]]
name = "carol"
identities = ["api:carol"]
keys = ["{key}"]
[[group]]
name = "owners"
members = ["api:carol"]
[[grant]]
name = "approved"
who.services = ["api:everything"]
on = ["web"]
as = ["deploy"]
require = {{ approvals = 1, approvers = ["owners"] }}
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = make_service(tmp_path, POLICY + EVERYTHING)
    (tmp_path / "slapd").mkdir()
    with running_directory(tmp_path / "slapd") as directory:
        config = made.data / "chancery.toml"
        config.write_text(config.read_text() + directory.settings())
        with made.running(CHANCERY_SERVICE_WORKERS="2"):
            made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
            made.order("host", "add", "db-1.acme.example", "--customer", "acme", "--label", "role=db")
            made.credential("everything", kind="service")
            yield made


@pytest.mark.timeout(240)
def test_schemathesis_finds_no_fault_with_the_service_or_its_description(service: Service) -> None:
    public_key = service.operator_key.with_suffix(".pub").read_text()
    (issued,) = service.issue({"public_key": public_key}, "everything")
    days = {"person": "api:bob", "starts": "2028-01-01", "ends": "2028-01-02"}
    booked = service.http("POST", "/v1/leave", days, as_="everything").json
    wish = {"grant": "approved", "reason": "to be described"}
    asked = service.http("POST", "/v1/approvals", wish, as_="everything").json
    service.settled("/v1/whoami", "everything")
    environment = {
        "PYTHONPATH": str(SUPPORT.parent),
        "SCHEMATHESIS_HOOKS": "support.described",
        "DESCRIBED_DATA": str(service.data),
        "DESCRIBED_KEY": str(service.operator_key),
        "DESCRIBED_POLICY": str(service.scratch / "policy.toml"),
        "DESCRIBED_CERTIFICATE": issued["certificate"],
        "DESCRIBED_SERIAL": issued["serial"],
        "DESCRIBED_CREDENTIAL": service.credential("everything").split(".")[1],
        "DESCRIBED_LEAVE": str(booked["leave"]),
        "DESCRIBED_LEAVE_ENDS": "1830384000",  # as booked above
        "DESCRIBED_APPROVAL": str(asked["approval"]),
        "DESCRIBED_OTHER_CREDENTIAL": service.credential("other").split(".")[1],
    }
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", SUPPORT / "described.toml"),
            *("--no-color", "run", f"https://127.0.0.1:{service.port}/v1/openapi.json"),
            *("--tls-verify", service.data / "tls" / "server.pem"),
            *("--header", f"Authorization: Bearer {service.credential('everything')}"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "5", "--generation-deterministic"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=service.scratch,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert f"Selected: {operations(service)}/{operations(service)}" in done.stdout
    assert f"Tested: {operations(service)}" in done.stdout
    assert " 500 " not in service.log


def operations(service: Service) -> int:
    paths = service.http("GET", "/v1/openapi.json").json["paths"]
    return sum(len(methods) for methods in paths.values())
