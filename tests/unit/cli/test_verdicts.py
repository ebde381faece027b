"""Verifying from the shell: exit codes are verdicts, and nothing else looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "nothing-here", "ledger", "verify"],
        ["ledger", "verify", "no-such.db"],
        ["ledger", "verify", "--no-such-option"],
        ["ledger", "verify", "no-ledger.db", "--key", "x"],
    ],
)
def test_verifying_what_cannot_be_read_ends_as_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-ledger.db").write_text("something else")
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 3, done.output
    assert "rror: " in done.output
