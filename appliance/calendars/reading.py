"""Reading a calendar by way of a process of its own (:mod:`appliance.calendars.reader`)."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from appliance.calendars.occurrence import Occurrence
from appliance.errors import ChanceryError

DEFAULT_MAX_BYTES: Final = 1_048_576
DEFAULT_TIMEOUT_S: Final = 20


class UnreadableFeed(ChanceryError):
    """A calendar that could not be fetched, or not be read. Nothing of it is to be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a calendar is, and how much of anything it may cost. One of ``url`` and ``file``.

    ``zone`` is that of its all-day events, ``ca`` a file of certificates to trust, ``user`` as whom to read.
    """

    url: str | None = None
    file: Path | None = None
    zone: ZoneInfo
    max_bytes: int = DEFAULT_MAX_BYTES
    timeout_s: float = DEFAULT_TIMEOUT_S
    ca: Path | None = None
    user: str | None = None


def read_source(source: Source, now_s: int) -> list[Occurrence]:
    """Read a calendar.

    Raises:
        UnreadableFeed: it cannot be reached, or is none, or costs more than it may.
    """
    job: dict[str, Any] = {
        "zone": source.zone.key,
        "now_s": now_s,
        "max_bytes": source.max_bytes,
        "timeout_s": source.timeout_s,
    }
    try:
        if source.ca is not None:
            job["ca"] = source.ca.read_text("ascii")
        if source.file is not None:
            job["text"] = _read_file(source.file, source.max_bytes)
        else:
            job["url"] = source.url
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFeed(f"cannot be read: {error}") from error
    return _parse(_run(job, source))


def _read_file(path: Path, max_bytes: int) -> str:
    with path.open("rb") as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise UnreadableFeed(f"{path}: is longer than {max_bytes} bytes")
    return raw.decode("utf-8-sig")


def _run(job: dict[str, Any], source: Source) -> bytes:
    account = pwd.getpwnam(source.user) if source.user is not None and os.geteuid() == 0 else None
    try:
        done = subprocess.run(
            [sys.executable, "-m", "appliance.calendars.reader"],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=source.timeout_s,
            check=False,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else (),
            cwd="/",
            # Time zones are those of the tzdata package, as in policy/zones.py, and never the machine's.
            env={"PATH": "/usr/bin:/bin", "PYTHONTZPATH": ""},
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableFeed(f"was not read within {source.timeout_s:.0f} s") from error
    if done.returncode < 0:
        raise UnreadableFeed(
            f"could not be read: signal {-done.returncode} ended its reader; it costs too much"
        )
    if done.returncode != 0:
        # What it says of itself can have the URL in it.
        raise UnreadableFeed("could not be read: its reader failed, which is a mistake in it: report it")
    return done.stdout


def _parse(answer: bytes) -> list[Occurrence]:
    data = json.loads(answer)
    if "problem" in data:
        raise UnreadableFeed(data["problem"])
    return [Occurrence(**each | {"attendees": tuple(each["attendees"])}) for each in data["occurrences"]]
