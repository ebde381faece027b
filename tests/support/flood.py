"""Ten times the load that saturates the service, much of it hostile: what must hold meanwhile and afterwards.

Everything comes over real TLS connections that press without pause (:mod:`support.crowd`); beside them a
well-behaved client asks now and then.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from support.crowd import BALANCER, CLOSED, LEFT
from support.load import BODY, entries, judge
from support.memory import grown, processes, resident
from support.service import HOST, Service, make_service

# Memory is measured from there on: a quarter of the time, but not before all have had their first answers.
WARM_UP: Final = 0.25
LEAST_WARM_UP_S: Final = 6.0
# A well-behaved client with a connection of its own gets an answer in this time, be it to come again.
PATIENCE_S: Final = 20.0
# And when it is over, a certificate in this time.
RECOVERY_S: Final = 2.0
# What the authority remembers of a certificate until a day after it expires: 0.9 kB in a flood.
KEPT_BYTES: Final = 1_200
NO_ANSWER: Final = "no answer"
_TESTS: Final = Path(__file__).parents[1]
_BAD_LOG: Final = ("Traceback", '"traceback"', '"level": "error"', '"level": "critical"')


@dataclass(slots=True)
class Report:
    """What happened. ``memory`` is resident bytes of each process, after the warm-up and at the end."""

    answers: Counter[str] = field(default_factory=Counter)
    behaved: Counter[str] = field(default_factory=Counter)
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    entries: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    recovered_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        """The answers to the crowd, by status alone."""
        counted: Counter[str] = Counter()
        for answer, count in self.answers.items():
            counted[answer.split()[0]] += count
        return counted


def flood(
    scratch: Path, *, seconds: float, connections: int, seed: int, say: Callable[[str], None]
) -> Report:
    """Run it; raise AssertionError if the ledger does not hold what it must, note lesser problems."""
    service, report = make_service(scratch), Report()
    with service.running(CHANCERY_LIMITS_EXEMPT=BALANCER):
        service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        pids = processes(service)
        client = WellBehaved(service, report)
        say(f"{connections} connections for {seconds:.0f} s, seed {seed}")
        with _crowd(service, report, connections=connections, seconds=seconds, seed=seed):
            began = time.monotonic()
            client.ask_until(began + max(WARM_UP * seconds, LEAST_WARM_UP_S))
            before, size = {name: resident(pid) for name, pid in pids.items()}, service.size
            indexed = _index_bytes(service)
            client.ask_until(began + seconds)
            report.memory = {name: (before[name], resident(pid)) for name, pid in pids.items()}
            kept = {
                "authority 0": KEPT_BYTES * (service.size - size) // 2,
                # Its pages stay in memory, up to the cache's bound, which nothing here comes near.
                "index 0": _index_bytes(service) - indexed,
            }
            report.problems += grown(report.memory, kept)
        report.recovered_s = client.await_service()
        if processes(service) != pids:
            report.problems.append("a process ended, and another took its place")
        assert service.process is not None
        service.process.terminate()
        assert service.process.wait(90) == 0, service.log
    judge(service, report.lines)
    report.entries.update(entry["kind"] for entry in entries(service))
    report.problems += _judge(service, report)
    return report


def _index_bytes(service: Service) -> int:
    """Return how large the index is, with what is not yet in its file."""
    return sum(path.stat().st_size for path in (service.data / "index").glob("index.db*"))


@contextmanager
def _crowd(service: Service, report: Report, **told: Any) -> Iterator[None]:
    """Have the crowd press; it ends by itself, and the report has what it was told."""
    credentials = {name: service.credential(name) for name in ("alice", "bob", "mallory")}
    authorities = str(service.data / "tls" / "server.pem")
    told |= {"port": service.port, "authorities": authorities, "credentials": credentials}
    # asyncio says much of connections that break, and nobody reads a pipe meanwhile.
    said = service.scratch / "crowd.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "support.crowd"],
            env=os.environ | {"PYTHONPATH": str(_TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(json.dumps(told).encode())
        process.stdin.close()
        process.stdin = None
        try:
            yield
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, said.read_text()[-3_000:]
    found = json.loads(output)
    report.answers.update(found["answers"])
    report.lines += found["lines"]
    report.problems += found["wrong"]


def _judge(service: Service, report: Report) -> list[str]:
    problems = [
        f"an answer that nobody may get: {answer}"
        for answer in (*report.answers, *report.behaved)
        if not answer.startswith(("2", "4", "503", LEFT, CLOSED, NO_ANSWER))
    ]
    if refused := report.behaved[NO_ANSWER]:
        problems.append(f"a well-behaved client got no answer {refused} times")
    if report.slowest_s > PATIENCE_S:
        problems.append(f"a well-behaved client waited {report.slowest_s:.1f} s for an answer")
    if report.recovered_s > RECOVERY_S:
        problems.append(f"it took {report.recovered_s:.1f} s until a well-behaved client was served again")
    said = service.log_without_alarms
    return problems + [f"the log has {bad}" for bad in _BAD_LOG if bad in said]


class WellBehaved:
    """A client that asks now and then, over a new connection each time, and comes again when told to."""

    def __init__(self, service: Service, report: Report) -> None:
        self._service = service
        self._report = report
        self._credential = service.credential("bob")

    def ask_until(self, end_s: float) -> None:
        """Ask until then; note every answer, and how long the slowest took."""
        while time.monotonic() < end_s:
            began = time.monotonic()
            self._report.behaved[self._ask()] += 1
            self._report.slowest_s = max(self._report.slowest_s, time.monotonic() - began)
            time.sleep(0.2)

    def await_service(self) -> float:
        """Return the seconds until it is given a certificate."""
        began = time.monotonic()
        while self._ask() != "201":
            assert time.monotonic() - began < 60, "the service does not come back"
        return time.monotonic() - began

    def _ask(self) -> str:
        try:
            reply = self._service.http("POST", "/v1/certificates/user", BODY, credential=self._credential)
        except (OSError, http.client.HTTPException):
            return NO_ANSWER
        if reply.status == 201:
            self._report.lines += [each["certificate"] for each in reply.json["certificates"]]
            return "201"
        assert reply.status not in {429, 503} or "retry-after" in reply.headers
        return f"{reply.status} {reply.slug}"
