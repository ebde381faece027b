"""The process that reads one calendar: job in, occurrences out, as JSON, and then it ends.

Run by :mod:`appliance.calendars.reading`. Whatever a calendar makes it do, it takes so much memory and time
and no more, and writes no file; and it holds nothing that anyone could want.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from typing import Any, Final

from appliance.calendars.fetch import Unreachable, fetch
from appliance.calendars.occurrences import UnreadableCalendar, read_calendar
from appliance.policy.zones import load_zone

CPU_S: Final = 10
MEMORY: Final = 1024 * 1_048_576
_LIMITS: Final = {
    resource.RLIMIT_CPU: CPU_S,
    resource.RLIMIT_AS: MEMORY,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
}


def main() -> None:
    """Read the job from standard input, and write what came of it to standard output."""
    job = json.load(sys.stdin)
    for limit, value in _LIMITS.items():
        resource.setrlimit(limit, (value, value))
    json.dump(_carry_out(job), sys.stdout)


def _carry_out(job: dict[str, Any]) -> dict[str, Any]:
    try:
        raw = _get(job)
        found = read_calendar(raw, load_zone(job["zone"]), job["now_s"])
    except (Unreachable, UnreadableCalendar) as error:
        return {"problem": str(error)}
    except MemoryError:
        return {"problem": "takes more memory to read than any calendar should"}
    return {"occurrences": [asdict(each) for each in found]}


def _get(job: dict[str, Any]) -> bytes:
    if "text" in job:
        text: str = job["text"]
        return text.encode()
    return fetch(job["url"], max_bytes=job["max_bytes"], timeout_s=job["timeout_s"], ca=job.get("ca"))


if __name__ == "__main__":
    main()
