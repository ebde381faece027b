"""kill -9 of every process at work: nothing acknowledged is lost, nothing unrecorded leaves, all return."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.ssh.certificate import parse_certificate_line
from appliance.ssh.keys import format_public_key_line
from audit.stores.sqlite import SqliteReader
from support.service import CHANCERY, Service, make_service
from support.ssh_examples import public_key

BODY = {"public_key": format_public_key_line(public_key("ed25519", 5)), "logins": ["deploy"]}
CLIENTS = 6


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = make_service(tmp_path)
    with made.running():
        made.credential("alice")
        yield made


class Load:
    """Clients that ask without pause, and keep what they were given."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._credential = service.credential("alice")
        self.lines: list[str] = []
        self.slugs: set[str] = set()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                reply = self._service.http("POST", "/v1/certificates/user", BODY, credential=self._credential)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if reply.status == 201:
                self.lines.append(reply.json["certificates"][0]["certificate"])
            else:
                self.slugs.add(reply.slug)

    def await_more(self, count: int) -> None:
        """Wait until so many more certificates were given."""
        goal, deadline = len(self.lines) + count, time.monotonic() + 60
        while len(self.lines) < goal:
            assert time.monotonic() < deadline, f"stuck at {len(self.lines)}; problems: {self.slugs}"
            time.sleep(0.02)


def entries(service: Service) -> list[dict[str, Any]]:
    reader = SqliteReader(service.data / "ledger.db")
    try:
        return [json.loads(raw) for raw in reader.entries(0, reader.size())]
    finally:
        reader.close()


def judge(service: Service, lines: list[str]) -> None:
    """Check, with the service stopped, that the ledger holds what clients hold, and verifies."""
    report = json.loads(service.cli("ledger", "verify", "--json", check=False).stdout)
    assert report["verdict"] == "verified", report["findings"]
    found = entries(service)
    of_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in found:
        of_kind.setdefault(entry["kind"], []).append(entry)
    issued = {entry["data"]["intent"]: entry["data"]["signature"] for entry in of_kind["certificate.issued"]}
    intents = {entry["seq"]: entry["data"]["tbs"] for entry in of_kind["certificate.intent"]}
    held = [parse_certificate_line(line) for line in lines]
    assert len({certificate.content.serial for certificate in held}) == len(held), "a serial was given twice"
    for certificate in held:
        seq = certificate.content.serial & (1 << 48) - 1
        assert base64.b64decode(intents[seq]) == certificate.tbs
        assert base64.b64decode(issued[seq]) == certificate.signature
    unfulfilled = of_kind.get("certificate.failed", []) + of_kind.get("certificate.abandoned", [])
    outcomes = [*issued, *(entry["data"]["intent"] for entry in unfulfilled)]
    assert len(of_kind["certificate.issued"]) == len(issued)
    assert sorted(outcomes) == sorted(intents), "every intent has exactly one outcome"


@pytest.mark.parametrize("part", ["authority", "index", "web"])
def test_service_comes_back_after_kill_9_and_loses_nothing(service: Service, part: str) -> None:
    with Load(service) as load:
        for _ in range(3):
            load.await_more(20)
            service.kill(part)
            time.sleep(0.3)
        load.await_more(20)
    service.await_ready()
    assert load.slugs <= {"ledger-unavailable", "overloaded", "hsm-unavailable", "unauthenticated"}
    assert service.process is not None
    service.process.terminate()
    assert service.process.wait(60) == 0
    judge(service, load.lines)


def test_killed_supervisor_takes_its_children_with_it(service: Service) -> None:
    assert service.process is not None
    pids = [pid for part in ("authority", "index", "web") for pid in service.pids(part)]
    assert len(pids) >= 4
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a child outlives its supervisor"
        time.sleep(0.05)
    with service.running():
        assert service.http("GET", "/v1/whoami", as_="alice").status == 200


def test_second_serve_is_refused_and_the_first_goes_on(service: Service) -> None:
    done = service.cli("serve", check=False)
    assert done.returncode == 1
    assert "runs on" in done.stderr
    command = [CHANCERY, "--data", str(service.data), "serve", "authority"]
    alone = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert alone.returncode == 4
    assert "another process has this ledger open" in alone.stderr
    assert service.http("GET", "/v1/whoami", as_="alice").status == 200


def test_altered_ledger_stops_issuing_while_reading_goes_on(service: Service) -> None:
    issued = service.issue(BODY)
    service.settled("/v1/certificates", "alice")
    with (service.data / "index" / "tiles" / "checkpoint").open("rb") as kept:
        checkpoint = kept.read()
    service.process.terminate()  # type: ignore[union-attr]
    service.process.wait(60)  # type: ignore[union-attr]
    script = (
        "DROP TRIGGER entry_stays;"
        "UPDATE entry SET bytes = CAST(replace(CAST(bytes AS TEXT), 'deploy', 'employ') AS BLOB) "
        "WHERE CAST(bytes AS TEXT) LIKE '%certificate.intent%';"
    )
    subprocess.run(["sqlite3", service.data / "ledger.db", script], check=True)
    with (service.scratch / "hold.log").open("wb") as log:
        held = subprocess.Popen([CHANCERY, "--data", service.data, "serve"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not (service.data / "run" / "hold").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            while True:
                assert time.monotonic() < deadline
                try:
                    found = service.http("GET", f"/v1/certificates/{issued[0]['serial']}", as_="alice")
                    break
                except OSError:
                    time.sleep(0.05)
            assert found.json["state"] == "active"
            assert (
                service.http("POST", "/v1/certificates/user", BODY, as_="alice").slug == "ledger-unavailable"
            )
            assert service.probe("/readyz").status == 503
            status = service.cli("status", check=False)
            assert status.returncode == 1
            assert "HOLD: altered at entry" in status.stdout
        finally:
            held.terminate()
            held.wait(60)
    earlier = service.scratch / "checkpoint"
    earlier.write_bytes(checkpoint)
    assert service.cli("ledger", "verify", "--earlier", earlier, check=False).returncode == 1
