"""A real ssh-agent, for as long as a test needs it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_agent(directory: Path) -> Iterator[Path]:
    """Run an agent; yield its socket."""
    path = directory / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the agent says where it listens once it does"
        yield path
    finally:
        process.terminate()
        process.communicate(timeout=10)
