"""One running service with two customers, persons and feeds, for all tests in here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.service import HOST, POLICY, Service, make_service

# Vera looks after servers of two companies, each with CAs of its own; bob and eve own the production.
PERSONS: Final = """
[[customer]]
name = "globex"
user_ca = "globex-users"
host_ca = "globex-hosts"
[[host_group]]
name = "globex-db"
customer = "globex"
match = {{ role = "db" }}
[[person]]
name = "ada"
identities = ["api:alice", "mtls:alice"]
[[person]]
name = "vera"
identities = ["api:vera", "mtls:vera"]
[[person]]
name = "bob"
identities = ["api:bob"]
keys = ["{bob}"]
[[person]]
name = "eve"
identities = ["api:eve"]
keys = ["{eve}"]
[[group]]
name = "owners"
members = ["api:bob", "api:eve"]
[[grant]]
name = "engineer"
who = {{ users = ["api:vera"] }}
on = ["web", "globex-db"]
as = ["root"]
ttl = "1h"
[[grant]]
name = "prod"
who = {{ users = ["api:vic", "api:eve"] }}
on = ["db"]
as = ["postgres"]
ttl = "2h"
require = {{ approvals = 1, approvers = ["owners"] }}
[[grant]]
name = "local"
who = {{ users = ["local:root"] }}
on = ["db"]
as = ["postgres"]
require = {{ approvals = 2, approvers = ["owners"] }}
"""
FEEDS: Final = """
[[leave.feed]]
name = "holidays"
file = "{file}"
timezone = "Europe/Berlin"
summary = "Leave: {{person}}"
interval = "15m"
"""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    scratch = tmp_path_factory.mktemp("leave")
    keys = {name: make_key(scratch / name) for name in ("bob", "eve")}
    persons = PERSONS.replace("{bob}", keys["bob"]).replace("{eve}", keys["eve"])
    made = make_service(scratch, POLICY + persons)
    with (made.data / "chancery.toml").open("a") as config:
        config.write(FEEDS.format(file=made.scratch / "holidays.ics"))
    with made.running(CHANCERY_SERVICE_WORKERS="1"):
        made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        yield made
    report = json.loads(made.cli("ledger", "verify", "--json").stdout)
    assert report["verdict"] == "verified", report


def make_key(path: Path) -> str:
    """Make a key, and return its public key without a comment."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])
