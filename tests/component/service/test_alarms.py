"""Alarms of a running service: to a receiver that is down at first, hangs, and while the index is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.authority.ordering.commands import RotateCa
from support.load import BODY
from support.orders import give, give_credentials
from support.receivers import Receiver, receiving
from support.service import POLICY, Service, free_port, make_service

MORE = """
[[grant]]
name = "emergency"
who.users = ["api:alice"]
on = ["db"]
as = ["root"]
break_glass = true
[[appliance.limit]]
name = "slow"
who.users = ["api:bob"]
certificates_per_minute = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A service, the port of its webhook, and what its command has got."""

    service: Service
    port: int
    paged: Path

    def read_paged(self) -> list[dict[str, Any]]:
        """Return what the command has got."""
        return [json.loads(line) for line in self.paged.read_text().splitlines()]

    def waiting(self) -> dict[str, float]:
        """Return how many alarms each way has still to bring, as Prometheus is told."""
        text = self.service.probe("/metrics").body.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert {sample.labels["event"] for sample in families["chancery_alarms"].samples} >= {
            "policy.changed"
        }
        return {sample.labels["way"]: sample.value for sample in families["chancery_alarms_waiting"].samples}

    def wait_until(self, way: str, *, delivered: bool) -> None:
        deadline = time.monotonic() + 20
        while (self.waiting().get(way) == 0) is not delivered:
            assert time.monotonic() < deadline, self.waiting()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    scratch = tmp_path_factory.mktemp("alarms")
    service, port, paged = make_service(scratch, POLICY + MORE), free_port(), scratch / "paged"
    (scratch / "webhook").write_text(f"http://127.0.0.1:{port}/?key=secret\n")
    program = scratch / "page"
    program.write_text(f"#!/bin/sh\ncat >> {paged}\necho >> {paged}\n")
    program.chmod(0o755)
    with service.running(
        CHANCERY_ALARMS_WEBHOOK=f"file:{scratch / 'webhook'}", CHANCERY_ALARMS_COMMAND=str(program)
    ):
        give_credentials(service, "alice", "bob")
        yield Watched(service=service, port=port, paged=paged)
    assert "secret" not in service.log


def test_receiver_that_is_down_loses_nothing_and_holds_up_nobody(watched: Watched) -> None:
    service, receiver = watched.service, Receiver()
    watched.wait_until("command", delivered=True)
    watched.wait_until("log", delivered=True)
    assert watched.waiting()["webhook"] > 5
    paged = [each for each in watched.read_paged() if "entry" in each]
    lines = [each for each in map(json.loads, service.log.splitlines()) if {"event", "seq"} <= each.keys()]
    assert [(each["entry"], each["event"]) for each in paged] == [
        (each["seq"], each["event"]) for each in lines
    ]
    assert {line["level"] for line in lines if line["event"] == "admin.added"} == {"critical"}
    assert {line["level"] for line in lines if line["event"] == "ca.created"} == {"warning"}
    assert service.issue(BODY), "nobody waits for a receiver"

    with receiving(receiver, watched.port):
        receiver.wait_asked(1)  # and does not answer yet
        assert service.issue(BODY)
        give(service, RotateCa(name="acme-users", algorithm="ecdsa-p256", phase="created"))
        service.kill("index")
        receiver.answers.set()
        receiver.wait_for("ca.created", 3)
        watched.wait_until("webhook", delivered=True)
    names = [(each["entry"], each["number"]) for each in receiver.alarms]
    assert list(dict.fromkeys(names)) == sorted(set(names)), "in order, but for repetitions"
    assert {(each["entry"], each["number"]) for each in paged} <= set(names)
    assert {each["log"] for each in receiver.alarms} == {"ca.example.org/log/1"}

    again, quiet = Receiver(), len(names)
    again.answers.set()
    with receiving(again, watched.port):
        service.kill("index")
        service.issue(BODY | {"logins": ["root"], "grant": "emergency", "reason": "db is down"})
        (alarm,) = again.wait_for("break-glass")
    assert len(again.alarms) == 1, (quiet, again.alarms)
    assert alarm["severity"] == "critical"
    assert alarm["details"]["reason"] == "db is down"


def test_authority_that_stays_down_is_an_alarm_though_it_records_nothing_any_more(watched: Watched) -> None:
    hold = watched.service.data / "run" / "hold"
    hold.write_text("altered at entry 7\n")  # as the authority does, before it ends
    deadline = time.monotonic() + 20
    while "altered at entry 7" not in watched.paged.read_text():
        assert time.monotonic() < deadline, watched.service.log[-2_000:]
        time.sleep(0.05)
    hold.unlink()
    (alarm,) = [each for each in watched.read_paged() if each["event"] == "hold"]
    assert alarm["severity"] == "critical"
    assert "entry" not in alarm


def test_alarms_are_listed_with_what_is_still_to_bring(watched: Watched) -> None:
    listed = json.loads(watched.service.cli("alarm", "list", "--limit", 3, "--json").stdout)
    assert len(listed["alarms"]) == 3
    assert listed["waiting"].keys() == {"log", "webhook", "command"}
    assert "admin.added" in watched.service.cli("alarm", "list").stdout


def test_limit_of_the_policy_is_429_with_the_time_to_come_again(watched: Watched) -> None:
    body = {"public_key": BODY["public_key"]}
    assert watched.service.issue(body, "bob")
    reply = watched.service.http("POST", "/v1/certificates/user", body, as_="bob")
    assert (reply.status, reply.slug) == (429, "rate-limited")
    assert 0 < int(reply.headers["retry-after"]) <= 60
    assert "1 certificates a minute" in reply.json["detail"]
    assert watched.service.issue(body, "alice")
