"""What a certificate costs, side by side in one run: the token alone, the service, OpenBao, ssh-keygen.

Machines differ and are noisy: read the ratios. What is compared is measured in turns, round by round, and
the load runs on the same cores. The token's rate is that of C_Sign through python-pkcs11, without a ledger
and without verifying. Both servers speak TLS, ask for a bearer credential and sign the same
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
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

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


def main() -> None:
    """Measure, print a table, and write JSON if that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5, help="for each number of each round")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured, in turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as directory:
        measured = Bench(Path(directory), arguments.seconds, arguments.rounds).run()
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
            single = self._measure_pairs(self._chancery("user", self._ask_user), _target(bao))
            batch = self._in_rounds(
                lambda: self._press(self._chancery("batch", self._ask_batch, BATCH), BATCH_CONNECTIONS)
            )
        return {
            "token": alone,
            "ssh-keygen": keygen,
            "single": single,
            "batch": {**batch, "size": BATCH, "connections": BATCH_CONNECTIONS},
        }

    def _measure_pairs(self, chancery: Target, bao: Target) -> list[dict[str, Any]]:
        found = []
        for connections in CONNECTIONS:
            loads: dict[str, list[Load]] = {chancery.name: [], bao.name: []}
            for turn in range(self._rounds):
                # Who is first changes, so that whatever grows in the meantime is nobody's advantage.
                for target in (chancery, bao) if turn % 2 == 0 else (bao, chancery):
                    say(f"{target.name}, {connections} connections, round {turn + 1}")
                    loads[target.name].append(self._press(target, connections))
            ratios = [ours.rate / theirs.rate for ours, theirs in zip(*loads.values(), strict=True)]
            found.append(
                {"connections": connections, "ratio": median(ratios)}
                | {name: summarize(each) for name, each in loads.items()}
            )
        return found

    def _in_rounds(self, measure: Callable[[], Load]) -> dict[str, Any]:
        return summarize([measure() for _ in range(self._rounds)])

    def _press(self, target: Target, connections: int) -> Load:
        return press(
            target, connections=connections, seconds=self._seconds, scratch=self._scratch, keys=self._keys
        )

    def _chancery(self, route: str, body: Callable[[str], dict[str, Any]], size: int = 1) -> Target:
        return Target(
            name="chancery",
            url=f"https://127.0.0.1:{self._demo.port}/v1/certificates/{route}",
            credential=self._demo.alice if route == "user" else self._demo.enroller,
            body=body,
            parts=lambda: {part: self._find_processes(part) for part in PARTS},
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

    def _find_processes(self, part: str) -> list[int]:
        pattern = f"--data {self._demo.data} serve {part}$"
        found = subprocess.run(["pgrep", "-f", "--", pattern], capture_output=True, text=True, check=True)
        return [int(pid) for pid in found.stdout.split()]

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
    rows = [["", "per second", "of token", "of OpenBao", "p50 ms", "p99 ms", "failed", "CPU ms for each"]]
    for threads, rate in measured["token"].items():
        rows.append([f"C_Sign alone, {threads} threads", f"{rate:.0f}", f"{rate / best:.2f}", *[""] * 5])
    for each in measured["single"]:
        for name in ("chancery", "openbao"):
            load = each[name]
            compared = f"{each['ratio']:.2f}" if name == "chancery" else ""
            label = f"{name}, {each['connections']} connections"
            rows.append([label, *_numbers(load, best, compared)])
    batch = measured["batch"]
    label = f"chancery, batches of {batch['size']}, {batch['connections']} connections"
    rows.append([label, *_numbers(batch, best, "")])
    keygen = measured["ssh-keygen"]
    rows.append(["ssh-keygen -s -D in a loop", f"{keygen:.1f}", f"{keygen / best:.4f}", *[""] * 5])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells = (
            f"{cell:<{width}}" if not column or column == 7 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


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
