"""What a certificate costs: the token's own rate, and the service's at 1, 16 and 64 connections, in one run.

Machines differ and are noisy: read the ratios. The load generator runs on the same cores as the service.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo import Demo, run

from appliance.authority.startup import open_token
from appliance.config import load_config
from hsm.keys import prepare
from hsm.token import Token

CONNECTIONS: Final = (1, 16, 64)
TOKEN_THREADS: Final = (1, 4)
PARTS: Final = ("web", "authority", "index")
MESSAGE: Final = bytes(500)  # about the size of a certificate's to-be-signed bytes

WRK: Final = """
wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
local refused = 0
response = function(status) if status ~= 201 then refused = refused + 1 end end
done = function(summary, latency)
  print(string.format("RESULT %%d %%f %%f %%d", summary.requests, summary.duration / 1e6,
    latency:percentile(99) / 1e3, summary.errors.status + summary.errors.timeout + summary.errors.read))
end
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5, help="for each number")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as directory, ExitStack() as stack:
        demo = Demo(data=Path(directory) / "data", scratch=Path(directory))
        demo.make_data_directory()
        token = measure_token(demo.data, seconds)
        stack.enter_context(demo.service())
        demo.register()
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", demo.path("alice_key"))
        report(token, [measure_service(demo, connections, seconds) for connections in CONNECTIONS])


def measure_token(data: Path, seconds: int) -> dict[int, float]:
    """Sign with a P-256 CA key of the token, each signature verified; return the rates by threads."""
    token = open_token(load_config(data))
    try:
        return {threads: sign_for(token, threads, seconds) for threads in TOKEN_THREADS}
    finally:
        token.close()


def sign_for(token: Token, threads: int, seconds: int) -> float:
    """Return verified signatures a second by so many threads, each with a session of its own."""
    record = next(record for record in token.keys() if record.label.startswith("ca-acme-users"))  # noqa: SIM118
    key = token.private_key(record.public_key)
    sessions = [token.open_session() for _ in range(threads)]
    counts = [0] * threads
    end = time.monotonic() + seconds

    def work(position: int) -> None:
        while time.monotonic() < end:
            prepared = prepare(key, MESSAGE)
            prepared.finish(sessions[position].sign(record, prepared.data))
            counts[position] += 1

    workers = [threading.Thread(target=work, args=(position,)) for position in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for session in sessions:
        session.close()
    return sum(counts) / seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The service at so many connections; ``cpu_ms`` is what a certificate cost each part."""

    connections: int
    rate: float
    p99_ms: float
    failed: int
    cpu_ms: dict[str, float]


def cpu_seconds(demo: Demo, part: str) -> float:
    """Return the CPU time that a part's processes have used."""
    pattern = f"--data {demo.data} serve {part}$"
    pids = subprocess.run(["pgrep", "-f", "--", pattern], capture_output=True, text=True, check=True)
    ticks = 0
    for pid in pids.stdout.split():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_service(demo: Demo, connections: int, seconds: int) -> Measured:
    """Ask for certificates over TLS."""
    script = demo.path("wrk.lua")
    body = {"public_key": demo.path("alice_key.pub").read_text().strip(), "host_groups": ["acme-web"]}
    script.write_text(WRK % (json.dumps(body), demo.alice))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    before = {part: cpu_seconds(demo, part) for part in PARTS}
    done = subprocess.run(
        [*command, f"https://127.0.0.1:{demo.port}/v1/certificates/user"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"RESULT (\d+) ([\d.]+) ([\d.]+) (\d+)", done.stdout)
    if found is None:
        raise SystemExit(done.stdout)
    count = int(found[1])
    return Measured(
        connections=connections,
        rate=count / float(found[2]),
        p99_ms=float(found[3]),
        failed=int(found[4]),
        cpu_ms={part: 1000 * (cpu_seconds(demo, part) - before[part]) / count for part in PARTS},
    )


def report(token: dict[int, float], service: list[Measured]) -> None:
    """Print what was measured, as ratios to the token with all its threads."""
    best = max(token.values())
    print(f"\n{'':26}{'per second':>11}{'of token':>9}{'p99 ms':>8}{'failed':>7}   CPU ms for each")
    for threads, rate in token.items():
        print(f"{f'token alone, {threads} threads':26}{rate:11.0f}{rate / best:9.2f}")
    for each in service:
        name = f"service, {each.connections} connections"
        cpu = ", ".join(f"{part} {spent:.2f}" for part, spent in each.cpu_ms.items())
        print(f"{name:26}{each.rate:11.0f}{each.rate / best:9.2f}{each.p99_ms:8.1f}{each.failed:7}   {cpu}")


if __name__ == "__main__":
    main()
