"""What documents tell people to type is typed: the runbook, and an order without the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from appliance.clock import format_rfc3339, now_s
from support.load import BODY
from support.service import CHANCERY, HOST, POLICY, Service, make_service

DOCS: Final = Path(__file__).parents[3] / "docs"
ADA: Final = """
[[person]]
name = "ada"
identities = ["api:ada"]
[[grant]]
name = "ada"
who = {{ users = ["api:ada"] }}
on = ["web"]
as = ["deploy"]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    names = ("--name", "ca.example.org", "--name", "127.0.0.1")
    made = make_service(tmp_path_factory.mktemp("documents"), POLICY + ADA, *names)
    with made.running(CHANCERY_SERVICE_WORKERS="1"):
        made.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        yield made


def type_(service: Service, home: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Type something into a shell, as an operator with the key of the documents."""
    (home / ".ssh").mkdir(exist_ok=True)
    shutil.copy(service.operator_key, home / ".ssh" / "id_ed25519")
    place = f'connect-to = "ca.example.org:443:127.0.0.1:{service.port}"\n'
    (home / ".curlrc").write_text(f'{place}cacert = "{service.data / "tls" / "server.pem"}"\n')
    path = f"{Path(CHANCERY).parent}:{os.environ['PATH']}"
    own = {"HOME": str(home), "PATH": path, "CHANCERY_DATA": str(service.data)}
    return subprocess.run(
        ["sh", "-e", "-c", text], cwd=home, env={**own, **more}, capture_output=True, text=True, check=False
    )


def type_section(
    service: Service, home: Path, heading: str, known: dict[str, str]
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Type the commands of a section of the runbook, with ``known`` in the place of what it has made up."""
    text = (DOCS / "incidents.md").read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    said = {}
    for command in re.findall(r"^ {4,}(chancery .*)$", text, re.MULTILINE):
        typed = command
        for old, new in known.items():
            typed = typed.replace(old, new)
        done = said[command] = type_(service, home, typed)
        assert done.returncode == 0, (typed, done.stdout, done.stderr)
        if "lock place" in command and "417" not in known:
            known["417"] = done.stderr.split("on record as entry ")[1].split()[0]
    return said


@pytest.mark.timeout(300)  # nine commands
def test_runbook_cuts_somebody_off_and_gives_it_back(service: Service, tmp_path: Path) -> None:
    service.issue(BODY, as_="ada")
    service.settled("/v1/access", "dave")
    known = {"0123456789abcdef": service.credential("ada").split(".")[1]}
    said = type_section(service, tmp_path, "Somebody must be cut off", known)
    assert len(said) == 8
    cut = said['chancery lock place person ada --reason "laptop stolen"']
    assert "1 certificates revoked, 1 of them were live" in cut.stderr
    assert "WARNING" not in cut.stderr
    assert said["chancery cert list --subject ada --state active"].stdout == "no certificate\n"
    assert said["chancery access what api:ada"].stdout == "nobody, by certificate\n"


def test_runbook_locks_a_key_and_a_host(service: Service, tmp_path: Path) -> None:
    (tmp_path / "id_stolen.pub").write_text(f"{BODY['public_key']}\n")
    time.sleep(1)  # the moment is of whole seconds, and the host was there by then
    try:
        said = type_section(
            service,
            tmp_path,
            "A key was stolen, a host was broken into",
            {"2026-01-31T08:00:00Z": format_rfc3339(now_s())},
        )
    finally:
        for each in json.loads(service.cli("lock", "list", "--json").stdout)["locks"]:
            service.order("lock", "lift", each["lock"])
    assert len(said) == 3


@pytest.mark.parametrize("heading", ["Nothing is issued", "Afterwards"])
def test_runbook_looks_without_harm(service: Service, tmp_path: Path, heading: str) -> None:
    (tmp_path / "checkpoint-of-yesterday").write_text(service.cli("ledger", "checkpoint").stdout)
    assert len(type_section(service, tmp_path, heading, {})) == 2


def test_runbook_knows_every_alarm() -> None:
    text = (DOCS / "incidents.md").read_text("utf-8")
    events = set(re.findall(r"`([a-z.-]+)`", text.split("| event |")[1].split("\n\n")[0]))
    listed = re.findall(
        r"^\| (.*?) \| (?:warning|critical)", (DOCS / "alarms.md").read_text("utf-8"), re.MULTILINE
    )
    names = {name for cell in listed for name in re.findall(r"`(.*?)`", cell)}
    assert len(names) >= 9
    assert names <= events


def test_order_is_made_signed_and_brought_without_the_command_line(service: Service, tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (DOCS / "http.md").read_text("utf-8"), re.DOTALL)
    done = type_(service, tmp_path, block, CREDENTIAL=service.credential("carol"))
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["entries"]
    assert entry["kind"] == "host.registered"
    assert service.settled("/v1/hosts/db-7.acme.example", "carol")["labels"] == {"role": "db"}
