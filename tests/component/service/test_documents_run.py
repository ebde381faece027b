"""What documents tell people to type is typed: the runbook for incidents, an order by hand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
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


def test_runbook_for_incidents_does_what_it_says(service: Service, tmp_path: Path) -> None:
    service.issue(BODY, as_="ada")
    (tmp_path / "id_stolen.pub").write_text(f"{BODY['public_key']}\n")
    service.settled("/v1/access", "dave")
    before = type_(service, tmp_path, "chancery ledger checkpoint > checkpoint-of-yesterday")
    assert before.returncode == 0, before.stderr
    known = {
        "0123456789abcdef": service.credential("ada").split(".")[1],
        "2026-01-31T08:00:00Z": format_rfc3339(now_s()),
    }
    text = (DOCS / "incidents.md").read_text("utf-8")
    commands = [line.strip() for line in re.findall(r"^ {4,}(chancery .*)$", text, re.MULTILINE)]
    assert len(commands) >= 12
    said = {}
    for command in commands:
        typed = command
        for old, new in known.items():
            typed = typed.replace(old, new)
        done = type_(service, tmp_path, typed)
        assert done.returncode == 0, (typed, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        said[command] = done
        if "lock place person" in command:
            known["417"] = str(re.search(r"entry (\d+)", done.stderr)[1])  # type: ignore[index]
    cut = said['chancery lock place person ada --reason "laptop stolen"']
    assert "1 certificates revoked, 1 of them were live" in cut.stderr
    assert "WARNING" not in cut.stderr
    assert said["chancery cert list --subject ada --state active"].stdout == "no certificate\n"
    assert said["chancery access what api:ada"].stdout == "nobody, by certificate\n"
    events = set(re.findall(r"`([a-z.-]+)`", text.split("| event |")[1].split("\n\n")[0]))
    listed = set(
        re.findall(r"^\| (.*?) \| (?:warning|critical)", (DOCS / "alarms.md").read_text(), re.MULTILINE)
    )
    assert {name for cell in listed for name in re.findall(r"`(.*?)`", cell)} <= events


def test_order_is_made_signed_and_brought_without_the_command_line(service: Service, tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (DOCS / "http.md").read_text("utf-8"), re.DOTALL)
    done = type_(service, tmp_path, block, CREDENTIAL=service.credential("carol"))
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["entries"]
    assert entry["kind"] == "host.registered"
    assert service.settled("/v1/hosts/db-7.acme.example", "carol")["labels"] == {"role": "db"}
