"""The demonstration that the README shows does what the README shows."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANCERY = Path(sys.executable).with_name("chancery")


def test_demonstration_logs_in_is_refused_four_times_and_verifies(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [sys.executable, "scripts/demo.py", "--keep", kept],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sshd says: Accepted publickey for" in done.stdout
    assert len(re.findall(r"refused\. sshd says: ", done.stdout)) == 4
    assert re.search(r"verdict +VERIFIED", done.stdout)
    assert (kept / "ledger.db").is_file()
    headings = re.findall(r"^== (.*?)(?: on port \d+.*)?$", done.stdout, re.MULTILINE)
    readme = (ROOT / "README.md").read_text("utf-8")
    for heading in headings:
        assert f"== {heading}" in readme
    for line in ("order signatures", "key phases", "replayed decisions", "CA signatures"):
        assert line in done.stdout
        assert line in readme
    order_again(kept, done.stdout)


def order_again(kept: Path, printed: str) -> None:
    """Do what the demonstration says about the directory that it left."""
    command = re.search(r"chancery (--data \S+ credential create .*?) \\\n +(.*)", printed)
    assert command is not None, printed
    with subprocess.Popen([CHANCERY, "--data", kept, "serve"], stderr=subprocess.DEVNULL) as service:
        try:
            deadline = time.monotonic() + 60
            status = [str(CHANCERY), "--data", str(kept), "status"]
            while subprocess.run(status, capture_output=True, check=False).returncode:
                assert time.monotonic() < deadline, "the service does not issue"
            ordered = subprocess.run(
                [CHANCERY, *" ".join(command.groups()).split()], capture_output=True, text=True, check=False
            )
            assert ordered.returncode == 0, ordered.stderr
            assert ordered.stdout.startswith("chancery1.")
        finally:
            service.terminate()
