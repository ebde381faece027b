"""How much memory the processes of a service hold, and whether they grow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from support.service import Service

MEMORY_GROWTH: Final = 1.10


def processes(service: Service) -> dict[str, int]:
    """Return the processes by name; the web tier's main process comes first, then its workers."""
    found = {
        f"{part} {number}": pid
        for part in ("authority", "index", "web")
        for number, pid in enumerate(sorted(service.pids(part)))
    }
    assert len(found) >= 4, found
    return found


def resident(pid: int) -> int:
    """Return resident memory in bytes: VmRSS of proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def grown(memory: Mapping[str, tuple[int, int]], kept: Mapping[str, int] | None = None) -> list[str]:
    """Say which processes have grown by more than a tenth, beside what they are to keep, in bytes."""
    problems = []
    for name, (before, after) in memory.items():
        if after - (kept or {}).get(name, 0) > MEMORY_GROWTH * before:
            problems.append(f"{name} grew from {before} to {after} bytes, by {after / before - 1:.0%}")
    return problems
