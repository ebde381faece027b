"""What a certificate costs, side by side in one run: the token alone, the service, OpenBao, ssh-keygen.

Machines differ and are noisy: read the ratios. What is compared is measured in turns, round by round, and
the load runs on the same cores. The token's rate is that of C_SignInit and C_Sign alone, without a ledger and
without verifying. Both servers speak TLS, ask for a bearer credential and sign the same
public keys with P-256. Chancery has both its records of a certificate on the disk before it leaves; OpenBao
writes its audit file without syncing it, and keeps its key in memory.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench_ledger import Size, write_ledger
from bench_load import Load, Target, press, write_public_keys
from bench_openbao import OpenBao
from demo import HOST, Demo

from appliance.authority.startup import open_token
from appliance.config import Config, load_config
from hsm.keys import prepare
from hsm.token import Token

CONNECTIONS: Final = (1, 16, 64)
TOKEN_THREADS: Final = (1, 2, 4, 8)
PARTS: Final = ("web", "authority", "index")
MESSAGE: Final = bytes(500)  # about the size of a certificate's to-be-signed bytes
BATCH: Final = 256
BATCH_CONNECTIONS: Final = 4
KEYGEN_RUNS: Final = 10
SMALL_LEDGER: Final = 1_000  # entries
LEDGER_CONNECTIONS: Final = 16
# To read a large ledger whole at the start, and to build the index of it.
PATIENCE_S: Final = 900.0


def main() -> None:
    """Measure, print a table, and write JSON if that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5, help="for each number of each round")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured, in turns")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large ledger; 0 leaves it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as directory:
        bench = Bench(Path(directory), arguments.seconds, arguments.rounds)
        measured = bench.run()
        if arguments.entries:
            measured["ledgers"] = bench.measure_ledgers((SMALL_LEDGER, arguments.entries))
    report(measured)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


class Bench:
    """One run: servers that are up all the time, and what is asked of them in turns."""

    def __init__(self, scratch: Path, seconds: int, rounds: int) -> None:
        self._scratch = scratch
        self._seconds = seconds
        self._rounds = rounds
        self._keys = scratch / "public-keys"
        self._demo = Demo(data=scratch / "data", scratch=scratch)

    def run(self) -> dict[str, Any]:
        """Measure everything; return the medians of all rounds."""
        write_public_keys(self._keys)
        self._demo.make_data_directory()
        config = load_config(self._demo.data)
        alone = self._measure_token(config)
        with ExitStack() as stack:
            stack.enter_context(self._demo.service())
            self._demo.register()
            keygen = self._measure_keygen(config)
            bao = OpenBao(
                self._scratch / "bao", config.path(config.tls.certificate), config.path(config.tls.key)
            )
            stack.enter_context(bao.running())
            self._check_batch()
            chancery = self._chancery("user", self._ask_user)
            single = [self._measure_pair(chancery, _target(bao), connections) for connections in CONNECTIONS]
            batch = self._in_rounds(
                lambda: self._press(self._chancery("batch", self._ask_batch, BATCH), BATCH_CONNECTIONS)
            )
        return {
            "token": alone,
            "ssh-keygen": keygen,
            "single": single,
            "batch": {**batch, "size": BATCH, "connections": BATCH_CONNECTIONS},
        }

    def measure_ledgers(self, sizes: tuple[int, int]) -> dict[str, Any]:
        """Measure two services in turns that differ in the size of their ledgers alone."""
        with ExitStack() as stack:
            targets = []
            for entries in sizes:
                demo = self._make_ledger(entries)
                stack.enter_context(demo.service())
                demo.await_index()
                target = self._chancery("user", self._ask_user, demo=demo)
                targets.append(replace(target, name=f"{entries} entries"))
            return self._measure_pair(targets[1], targets[0], LEDGER_CONNECTIONS)

    def _make_ledger(self, entries: int) -> Demo:
        """Make a data directory whose ledger has so many entries, half of them intents."""
        scratch = self._scratch / f"ledger-{entries}"
        scratch.mkdir()
        demo = Demo(data=scratch / "data", scratch=scratch, patience_s=PATIENCE_S)
        demo.make_data_directory()
        with demo.service():
            demo.register()
        size = Size(certificates=entries // 2, hosts=10, grants=10)
        write_ledger(demo.data / "ledger.db", size, int(time.time()))
        return demo

    def _measure_pair(self, one: Target, other: Target, connections: int) -> dict[str, Any]:
        """Measure two targets in turns; ``ratio`` is that of the one's rate to the other's."""
        loads: dict[str, list[Load]] = {one.name: [], other.name: []}
        for turn in range(self._rounds):
            # Who is first changes, so that whatever grows in the meantime is nobody's advantage.
            for target in (one, other) if turn % 2 == 0 else (other, one):
                say(f"{target.name}, {connections} connections, round {turn + 1}")
                loads[target.name].append(self._press(target, connections))
        ratios = [ours.rate / theirs.rate for ours, theirs in zip(*loads.values(), strict=True)]
        summaries = {name: summarize(each) for name, each in loads.items()}
        return {"connections": connections, "ratio": median(ratios), "ratios": ratios, "targets": summaries}

    def _in_rounds(self, measure: Callable[[], Load]) -> dict[str, Any]:
        return summarize([measure() for _ in range(self._rounds)])

    def _press(self, target: Target, connections: int) -> Load:
        return press(
            target, connections=connections, seconds=self._seconds, scratch=self._scratch, keys=self._keys
        )

    def _chancery(
        self, route: str, body: Callable[[str], dict[str, Any]], size: int = 1, *, demo: Demo | None = None
    ) -> Target:
        demo = demo or self._demo
        return Target(
            name="chancery",
            url=f"https://127.0.0.1:{demo.port}/v1/certificates/{route}",
            credential=demo.alice if route == "user" else demo.enroller,
            body=body,
            parts=lambda: {part: find_processes(demo, part) for part in PARTS},
            size=size,
        )

    @staticmethod
    def _ask_user(public_key: str) -> dict[str, Any]:
        return {"public_key": public_key, "host_groups": ["acme-web"]}

    @staticmethod
    def _ask_batch(public_key: str) -> dict[str, Any]:
        return {"requests": [{"type": "host", "public_key": public_key, "host": HOST}] * BATCH}

    def _check_batch(self) -> None:
        """See that batches are carried out: wrk looks at the status of a reply only."""
        key = self._keys.read_text().partition("\n")[0]
        reply = self._demo.post("/v1/certificates/batch", self._demo.enroller, self._ask_batch(key))
        for outcome in reply["outcomes"]:
            if "problem" in outcome:
                raise SystemExit(f"a request of a batch was refused: {outcome['problem']}")

    def _measure_token(self, config: Config) -> dict[str, float]:
        """Sign with a P-256 CA key of the token and do nothing else; return the rates by threads."""
        token = open_token(config)
        try:
            return {str(threads): sign_for(token, threads, self._seconds) for threads in TOKEN_THREADS}
        finally:
            token.close()

    def _measure_keygen(self, config: Config) -> float:
        """Sign in a loop with ssh-keygen and the same key in the token; return certificates per second."""
        say(f"ssh-keygen -s -D, {KEYGEN_RUNS} times")
        ca, subject, askpass = (self._scratch / name for name in ("ca.pub", "subject.pub", "askpass"))
        pin = config.path(Path(config.token.pin.removeprefix("file:")))
        ca.write_text(self._demo.chancery("ca", "export", "acme-users"))
        subject.write_text(self._keys.read_text().partition("\n")[0])
        askpass.write_text(f"#!/bin/sh\ncat {shlex.quote(str(pin))}\n")
        askpass.chmod(0o700)
        command = [
            "ssh-keygen",
            "-q",
            "-s",
            ca,
            "-D",
            config.token.module,
            "-I",
            "bench",
            "-n",
            "web",
            subject,
        ]
        softhsm = config.token.softhsm
        environment = {"PATH": "/usr/bin:/bin", "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        if softhsm is not None:
            environment["SOFTHSM2_CONF"] = str(config.path(softhsm))
        began = time.monotonic()
        for _ in range(KEYGEN_RUNS):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"ssh-keygen failed: {done.stderr}")
        return KEYGEN_RUNS / (time.monotonic() - began)


def _target(bao: OpenBao) -> Target:
    return Target(
        name="openbao",
        url=bao.url,
        credential=bao.credential,
        body=lambda public_key: {"public_key": public_key, "valid_principals": "web"},
        parts=lambda: {"openbao": [bao.pid]},
    )


def find_processes(demo: Demo, part: str) -> list[int]:
    """Return the processes of one part of a service."""
    pattern = f"--data {demo.data} serve {part}$"
    found = subprocess.run(["pgrep", "-f", "--", pattern], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split()]


def sign_for(token: Token, threads: int, seconds: int) -> float:
    """Return signatures a second by so many threads, each with a session of its own; none is verified."""
    say(f"token alone, {threads} threads")
    record = next(record for record in token.keys() if record.label.startswith("ca-acme-users"))  # noqa: SIM118
    key = token.private_key(record.public_key)
    data = prepare(key, MESSAGE).data
    sessions = [token.open_session() for _ in range(threads)]
    counts = [0] * threads
    end = time.monotonic() + seconds

    def work(position: int) -> None:
        while time.monotonic() < end:
            sessions[position].sign(record, data)
            counts[position] += 1

    workers = [threading.Thread(target=work, args=(position,)) for position in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for session in sessions:
        session.close()
    return sum(counts) / seconds


def summarize(loads: Sequence[Load]) -> dict[str, Any]:
    """Return the medians of all rounds; the failures are the sum."""
    found: dict[str, Any] = {
        name: median(getattr(load, name) for load in loads) for name in ("rate", "p50_ms", "p99_ms")
    }
    found["cpu_ms"] = {part: median(load.cpu_ms[part] for load in loads) for part in loads[0].cpu_ms}
    return found | {"failed": sum(load.failed for load in loads), "rounds": [asdict(load) for load in loads]}


def report(measured: dict[str, Any]) -> None:
    """Print what was measured, as ratios to the token alone and to OpenBao."""
    best = max(measured["token"].values())
    rows = [["", "per second", "of C_Sign", "of the next", "p50 ms", "p99 ms", "failed", "CPU ms for each"]]
    for threads, rate in measured["token"].items():
        rows.append([f"C_Sign alone, {threads} threads", f"{rate:.0f}", f"{rate / best:.2f}", *[""] * 5])
    for each in measured["single"]:
        rows += _pair_rows(each, best)
    batch = measured["batch"]
    label = f"chancery, batches of {batch['size']}, {batch['connections']} connections"
    rows.append([label, *_numbers(batch, best, "")])
    keygen = measured["ssh-keygen"]
    rows.append(["ssh-keygen -s -D in a loop", f"{keygen:.1f}", f"{keygen / best:.4f}", *[""] * 5])
    if ledgers := measured.get("ledgers"):
        rows += _pair_rows(ledgers, best)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells = (
            f"{cell:<{width}}" if not column or column == 7 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _pair_rows(pair: dict[str, Any], best: float) -> Iterable[list[str]]:
    """Yield a row for each of two targets; the ratio stands with the first."""
    compared = f"{pair['ratio']:.2f}"
    for name, load in pair["targets"].items():
        label = f"{name}, {pair['connections']} connections"
        yield [label, *_numbers(load, best, compared)]
        compared = ""


def _numbers(load: dict[str, Any], best: float, compared: str) -> Iterable[str]:
    cpu = ", ".join(f"{part} {spent:.2f}" for part, spent in load["cpu_ms"].items())
    latency = (f"{load['p50_ms']:.1f}", f"{load['p99_ms']:.1f}")
    rate = load["rate"]
    return [f"{rate:.0f}", f"{rate / best:.2f}", compared, *latency, str(load["failed"]), cpu]


def say(what: str) -> None:
    """Tell what is being measured, to whoever waits."""
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
