"""What ``ssh-keygen`` makes of our bytes: the independent reader of every format test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def ssh_keygen(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run ``ssh-keygen`` with UTC as its time zone and return what it printed.

    Raises:
        AssertionError: it failed, with its message.
    """
    done = subprocess.run(
        ["ssh-keygen", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "TZ": "UTC"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def certificate_fields(listing: str) -> dict[str, str | list[str]]:
    """Parse one certificate of ``ssh-keygen -L`` into label → text, or label → list where it prints one."""
    fields: dict[str, str | list[str]] = {}
    items: list[str] = []
    for line in listing.splitlines():
        if line.startswith(" " * 16):
            items.append(line.strip())
        elif line.startswith(" " * 8):
            label, _, text = line.strip().partition(":")
            items = []
            fields[label] = {"": items, "(none)": []}.get(text.strip(), text.strip())
    return fields
