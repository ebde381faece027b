"""The whole service while its token fails, hangs, goes and returns: every intent ends, nobody is stuck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from support.load import BODY, Load, entries, judge
from support.service import Service, make_disturbed_service


def eventually(condition: Callable[[], bool], within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


def status(service: Service) -> dict[str, object]:
    found: dict[str, object] = json.loads(service.cli("status", "--json", check=False).stdout)
    return found


def metric(service: Service, name: str) -> float:
    lines = service.probe("/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def stop(service: Service) -> None:
    assert service.process is not None
    service.process.terminate()
    assert service.process.wait(60) == 0, service.log


def test_token_that_forgets_its_login_is_not_noticed_by_callers(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running(), Load(service) as load:
        for disturb in ("need_login", "need_initialize", "need_login"):
            load.await_more(20)
            setattr(shim, disturb, 1)
            eventually(lambda name=disturb: getattr(shim, name) == 0)  # type: ignore[misc]
        load.await_more(20)
        assert metric(service, "chancery_token_recoveries_total") >= 3
        trouble = status(service)["token"]["last_trouble"]  # type: ignore[index]
        assert trouble["rung"] in {"login", "module"}
        load.stop()
    assert shim.finalized_in_flight == 0
    assert load.slugs == set()
    judge(service, load.lines)


def test_hanging_token_ends_in_abandoned_intents_and_a_new_process(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(
        tmp_path, sessions=2, sign_deadline_s=1, turn_deadline_s=1, restart_after_s=2
    )
    with service.running():
        with Load(service, ("alice", "bob")) as load:
            load.await_more(10)
            (pid,) = service.pids("authority")
            shim.hang = 1
            eventually(lambda: "sessions hang" in str(status(service)["problems"]))
            eventually(lambda: service.pids("authority") not in ([], [pid]))
            shim.hang = 0
            load.await_more(10)
        assert load.slowest_s < 30
        assert "the authority starts anew" in service.log
        stop(service)
    abandoned = [entry for entry in entries(service) if entry["kind"] == "certificate.abandoned"]
    assert abandoned
    assert {entry["data"]["reason"] for entry in abandoned} == {"the token did not answer in time"}
    judge(service, load.lines)


def test_stall_is_waited_out_when_it_ends_in_time(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path, sign_deadline_s=2, turn_deadline_s=2)
    with service.running():
        with Load(service) as load:
            load.await_more(10)
            (pid,) = service.pids("authority")
            shim.hang = 1
            time.sleep(6)
            assert load.slugs
            shim.hang = 0
            load.await_more(20)
        assert service.pids("authority") == [pid]
        stop(service)
    judge(service, load.lines)


def test_service_starts_without_its_token_and_issues_when_it_is_there(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running():
        certificate = service.issue(BODY)[0]
    shim.removed = 1
    with service.running(ready=False):
        eventually(lambda: bool(status(service).get("token")))
        found = status(service)
        assert "0 tokens" in str(found["problems"])
        assert "pkcs11-tool --module" in str(found["problems"])
        assert "could not be opened yet" in str(found["problems"])
        assert service.probe("/readyz").status == 503
        refused = service.http("POST", "/v1/certificates/user", BODY, as_="alice")
        assert (refused.status, refused.slug) == (503, "hsm-unavailable")
        assert int(refused.headers["retry-after"]) > 0
        # Reading and cutting off go on.
        assert service.http("GET", "/v1/certificates", as_="alice").status == 200
        body = {"serial": certificate["serial"], "reason": "lost"}
        assert service.http("POST", "/v1/revocations", body, as_="carol").status in {200, 201}
        shim.removed = 0
        service.await_ready()
        service.issue(BODY)
        stop(service)
    judge(service, [])


def test_one_who_asks_for_everything_does_not_keep_others_from_the_token(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path, sessions=1, turn_deadline_s=4)
    with service.running():
        shim.delay_ns = 100_000_000
        for _ in range(5):
            service.issue(BODY)
        with Load(service, ("alice",), clients=40) as greedy:
            greedy.await_more(10)
            took = []
            for _ in range(5):
                began = time.monotonic()
                service.issue(BODY, as_="bob")
                took.append(time.monotonic() - began)
            # Refused at the door, with the time after which to come again; nothing of it is on record.
            eventually(lambda: "overloaded" in greedy.slugs)
        shim.calm()
        # Bob waits for a few calls of 100 ms each, not for the twenty that Alice has in the queue.
        assert sorted(took)[2] < 1.5, took
        assert greedy.slugs == {"overloaded"}
        stop(service)
    failed = [entry for entry in entries(service) if entry["kind"] == "certificate.failed"]
    assert len(failed) <= len(greedy.lines) / 10, "the door keeps out what would not get its turn"
    judge(service, greedy.lines)
