"""The demonstration that the README shows does what the README shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
