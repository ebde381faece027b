"""Files in which orders wait for another operator: what is none is said in one line, before anyone signs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main

LIFT = {"verb": "lock.lift", "lock": 7}


def show(tmp_path: Path, command: object) -> tuple[int, str]:
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"origin": "ca.example.org/log/1", "command": command, "orders": []}))
    shown = CliRunner().invoke(main, ["order", "show", str(file)])
    return shown.exit_code, shown.output


def test_order_that_waits_is_shown(tmp_path: Path) -> None:
    status, shown = show(tmp_path, LIFT)
    assert status == 0
    assert "lock.lift" in shown


@pytest.mark.parametrize(
    "command", [{}, {"verb": None}, {"verb": ["lock.lift"]}, LIFT | {"lock": 1.5}, LIFT | {"reason": None}]
)
def test_file_with_what_nobody_can_order_is_refused(tmp_path: Path, command: object) -> None:
    status, said = show(tmp_path, command)
    assert status == 1
    assert "not what --sign-only leaves" in said
