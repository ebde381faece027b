"""Mixed load on the whole service while its token is disturbed at random, and the judgement afterwards."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.ssh.keys import format_public_key_line
from support.load import BODY, judge
from support.memory import grown, processes, resident
from support.service import HOST, Service, make_disturbed_service
from support.shim import Shim
from support.ssh_examples import public_key

CLIENTS: Final = 10
WARM_UP: Final = 0.25  # of the time; memory is measured from there on
# Turn, call and what a busy machine adds: whoever waits longer is stuck.
PATIENCE_S: Final = 30.0
_KEY: Final = format_public_key_line(public_key("ed25519", 6))
_FAILURES: Final = (0x05, 0x06, 0x30, 0x31, 0xB3, 0x54)  # of C_Sign; the last is CKR_FUNCTION_NOT_SUPPORTED


@dataclass(slots=True)
class Report:
    """What happened. ``memory`` is resident bytes of each process, after the warm-up and at the end."""

    answers: Counter[str] = field(default_factory=Counter)
    disturbances: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, int] = field(default_factory=dict)
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    held: int = 0
    slowest_s: float = 0.0
    problems: list[str] = field(default_factory=list)


def soak(scratch: Path, *, seconds: float, seed: int, say: Callable[[str], None]) -> Report:
    """Run it; raise AssertionError if the ledger does not hold what it must, note lesser problems."""
    service, shim = make_disturbed_service(
        scratch, sign_deadline_s=1, turn_deadline_s=2, keep_alive_s=1, restart_after_s=60
    )
    report = Report()
    with service.running():
        service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        clients = Clients(service, report, seed)
        disturber = Disturber(shim, report, seed)
        pids = processes(service)
        with clients, disturber:
            say(f"warming up for {WARM_UP * seconds:.0f} s, seed {seed}")
            time.sleep(WARM_UP * seconds)
            before = {name: resident(pid) for name, pid in pids.items()}
            end = time.monotonic() + (1 - WARM_UP) * seconds
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, 30))
                say(f"{max(0, left):.0f} s left: {clients.describe()}")
        shim.calm()
        service.await_ready()
        report.memory = {name: (before[name], resident(pid)) for name, pid in pids.items()}
        if processes(service) != pids:
            report.problems.append("a process ended, and another took its place")
        status = json.loads(service.cli("status", "--json", check=False).stdout)
        for each in status["token"]["recoveries"]:
            name = f"{each['rung']}: {each['cause']}"
            report.recoveries[name] = report.recoveries.get(name, 0) + each["count"]
        if status["open_intents"]:
            report.problems.append(f"{status['open_intents']} intents are open though nobody waits")
        assert service.process is not None
        service.process.terminate()
        assert service.process.wait(90) == 0, service.log
    report.held, report.slowest_s = len(clients.lines), clients.slowest_s
    judge(service, clients.lines)
    report.problems += _judge(report, shim)
    return report


def _judge(report: Report, shim: Shim) -> list[str]:
    problems = grown(report.memory)
    if report.slowest_s > PATIENCE_S:
        problems.append(f"a caller waited {report.slowest_s:.0f} s")
    if shim.finalized_in_flight:
        problems.append(f"C_Finalize was called {shim.finalized_in_flight} times under a call")
    if bad := [answer for answer in report.answers if answer.startswith("500")]:
        problems.append(f"answers that nobody may get: {', '.join(bad)}")
    return problems


class Clients:
    """Callers of all kinds: some ask for what they may have, some for more, some hang up."""

    def __init__(self, service: Service, report: Report, seed: int) -> None:
        self._service = service
        self._report = report
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._credentials = {name: service.credential(name) for name in ("alice", "carol", "erin")}
        self._credentials["stranger"] = service.credential("mallory")
        self._serials: list[str] = []
        self.lines: list[str] = []
        self.slowest_s = 0.0
        self._threads = [threading.Thread(target=self._run, args=(seed + n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def describe(self) -> str:
        """Say what they got so far."""
        return f"{len(self.lines)} certificates, {sum(self._report.answers.values())} answers"

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        kinds = {
            self._ask: 10,
            self._ask_for_host: 2,
            self._ask_for_more: 2,
            self._search: 2,
            self._revoke: 1,
            self._hang_up: 2,
        }
        while not self._stop.is_set():
            (kind,) = chance.choices(list(kinds), weights=list(kinds.values()))
            began = time.monotonic()
            try:
                answer = kind(chance)
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
            with self._lock:
                self._report.answers[answer] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._stop.wait(chance.uniform(0, 0.6))

    def _post(self, path: str, body: object, who: str) -> str:
        reply = self._service.http("POST", path, body, credential=self._credentials[who])
        if reply.status != 201:
            return f"{reply.status} {reply.slug}"
        certificates: list[dict[str, Any]] = reply.json.get("certificates", [])
        with self._lock:
            self.lines += [each["certificate"] for each in certificates]
            self._serials += [each["serial"] for each in certificates]
        return f"201 {path.rpartition('/')[2]}"

    def _ask(self, _chance: random.Random) -> str:
        return self._post("/v1/certificates/user", BODY, "alice")

    def _ask_for_host(self, _chance: random.Random) -> str:
        return self._post("/v1/certificates/host", {"public_key": _KEY, "host": HOST}, "erin")

    def _ask_for_more(self, _chance: random.Random) -> str:
        return self._post("/v1/certificates/user", BODY, "stranger")

    def _search(self, _chance: random.Random) -> str:
        reply = self._service.http("GET", "/v1/certificates?limit=50", credential=self._credentials["alice"])
        return f"{reply.status} search"

    def _revoke(self, chance: random.Random) -> str:
        with self._lock:
            serial = chance.choice(self._serials) if self._serials else "1"
        reply = self._service.http(
            *("POST", "/v1/revocations", {"serial": serial, "reason": "soak"}),
            credential=self._credentials["carol"],
        )
        return f"{reply.status} {'revocation' if reply.status < 300 else reply.slug}"

    def _hang_up(self, chance: random.Random) -> str:
        """Send a request that must be answered, and go before it is."""
        context = ssl.create_default_context(cafile=str(self._service.data / "tls" / "server.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", self._service.port, context=context, timeout=30)
        try:
            headers = {
                "Authorization": f"Bearer {self._credentials['alice']}",
                "Content-Type": "application/json",
            }
            connection.request("POST", "/v1/certificates/user", json.dumps(BODY), headers)
            time.sleep(chance.uniform(0, 0.01))
        finally:
            connection.close()
        return "hung up"


class Disturber:
    """The hand on the token: every second or two it does something that tokens do."""

    def __init__(self, shim: Shim, report: Report, seed: int) -> None:
        self._shim = shim
        self._report = report
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Disturber:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._shim.calm()

    def _run(self) -> None:
        disturbances = (
            self._forget_login,
            self._need_initialize,
            self._drop_sessions,
            self._fail,
            self._fail,
            self._slow_down,
            self._hang,
            self._go_away,
        )
        while not self._stop.wait(self._random.uniform(0.5, 2.5)):
            disturb = self._random.choice(disturbances)
            self._report.disturbances[disturb.__name__.strip("_").replace("_", " ")] += 1
            disturb()

    def _forget_login(self) -> None:
        self._shim.need_login = 1

    def _need_initialize(self) -> None:
        self._shim.need_initialize = 1

    def _drop_sessions(self) -> None:
        self._shim.dead_sessions = self._shim.last_session

    def _fail(self) -> None:
        self._shim.fail_with = self._random.choice(_FAILURES)
        self._shim.fail_times = self._random.randint(1, 5)

    def _slow_down(self) -> None:
        self._shim.delay_ns = self._random.randint(5, 200) * 1_000_000
        self._stop.wait(self._random.uniform(0.5, 3))
        self._shim.delay_ns = 0

    def _hang(self) -> None:
        self._shim.hang = 1
        self._stop.wait(self._random.uniform(0.2, 4))
        self._shim.hang = 0

    def _go_away(self) -> None:
        self._shim.removed = 1
        self._stop.wait(self._random.uniform(0.2, 3))
        self._shim.removed = 0
