"""Load on one server, by wrk over TLS with a bearer credential, and what it cost the server's processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# Every request has a public key of its own, as in real life: no two certificates are alike.
KEYS: Final = 2_000

SCRIPT: Final = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %(credential)s"
local parts, keys, position, threads = {%(parts)s}, {}, 0, {}
for key in io.lines("%(keys)s") do keys[#keys + 1] = key end
request = function()
  position = position %% #keys + 1
  return wrk.format(nil, nil, nil, table.concat(parts, keys[position]))
end
setup = function(thread) threads[#threads + 1] = thread end
certificates = 0
%(count)s
done = function(summary, latency)
  local found = 0
  for _, thread in ipairs(threads) do found = found + thread:get("certificates") end
  print(string.format("RESULT %%d %%f %%f %%f %%d %%d", summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect, found))
end
"""
# Looking into replies costs the load generator time: done where a status does not say what was issued.
COUNT: Final = """
response = function(status, headers, body)
  local _, found = body:gsub('"certificate":', "")
  certificates = certificates + found
end
"""
_RESULT: Final = re.compile(r"RESULT (\d+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+) (\d+)")
_PLACE: Final = "PUBLIC-KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that signs: ``body`` is what it is asked for a public key; ``parts`` names its processes.

    ``size``: how many certificates a request asks for; where it is more than one, they are counted.
    """

    name: str
    url: str
    credential: str
    body: Callable[[str], dict[str, Any]]
    parts: Callable[[], Mapping[str, list[int]]]
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a target did at so many connections.

    ``rate`` is certificates a second, ``cpu_ms`` what each cost every part; the latencies are of requests.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_ms: dict[str, float]


def write_public_keys(path: Path, count: int = KEYS) -> None:
    """Write so many OpenSSH Ed25519 public keys, one on a line."""
    keys = (Ed25519PrivateKey.generate().public_key() for _ in range(count))
    lines = (key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() for key in keys)
    path.write_text("".join(f"{line}\n" for line in lines))


def press(target: Target, *, connections: int, seconds: int, scratch: Path, keys: Path) -> Load:
    """Ask a target for certificates from so many connections, each with one request under way."""
    parts = target.parts()
    script = scratch / "wrk.lua"
    script.write_text(_write_script(target, keys))
    spent = {part: cpu_seconds(pids) for part, pids in parts.items()}
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script, target.url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = _RESULT.search(done.stdout)
    if found is None:
        raise SystemExit(f"wrk said nothing of its results:\n{done.stdout}")
    certificates = int(found[1]) if target.size == 1 else int(found[6])
    failed = int(found[5]) if target.size == 1 else target.size * int(found[1]) - certificates
    return Load(
        rate=certificates / float(found[2]),
        p50_ms=float(found[3]),
        p99_ms=float(found[4]),
        failed=failed,
        cpu_ms={
            part: 1000 * (cpu_seconds(pids) - spent[part]) / certificates for part, pids in parts.items()
        },
    )


def _write_script(target: Target, keys: Path) -> str:
    """Write the load generator's script: each request has the next public key in every place for one."""
    pieces = json.dumps(target.body(_PLACE)).split(_PLACE)
    return SCRIPT % {
        "credential": target.credential,
        "parts": ", ".join(f"[[{piece}]]" for piece in pieces),
        "keys": keys,
        "count": "" if target.size == 1 else COUNT,
    }


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")
