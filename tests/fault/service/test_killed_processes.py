"""kill -9 of every process at work: nothing acknowledged is lost, nothing unrecorded leaves, all return."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.load import BODY, Load, judge
from support.service import CHANCERY, Service, make_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = make_service(tmp_path)
    with made.running():
        made.credential("alice")
        yield made


# A TLS handshake with a process that is killed leaves a socket to the garbage collector: CPython's doing.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
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
            while b'"event": "hold"' not in (service.scratch / "hold.log").read_bytes():
                assert time.monotonic() < deadline, "nobody was told"
                time.sleep(0.05)
        finally:
            held.terminate()
            held.wait(60)
    earlier = service.scratch / "checkpoint"
    earlier.write_bytes(checkpoint)
    assert service.cli("ledger", "verify", "--earlier", earlier, check=False).returncode == 1
