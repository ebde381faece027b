"""docs/formats/ledger.md: its commands are run as they stand, and its tables are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from audit.verifier import Code, SqliteSource, Verdict, verify_log
from audit.verifier.report import INCONCLUSIVE_CODES
from audit.verifier.schemas import SCHEMAS

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs" / "formats" / "ledger.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Each command of the document with the output shown below it."""
    sessions = (re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in blocks("console"))
    return [(part.partition("\n")[0], part.partition("\n")[2]) for session in sessions for part in session]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    for name, language in (("example.sql", "sql"), ("example.tlog-proof", "tlog-proof")):
        (text,) = blocks(language)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_commands_of_the_document_print_what_it_shows(example: Path) -> None:
    assert len(commands()) > 20
    for command, shown in commands():
        script = f"set -eu -o pipefail\n{command}"
        result = subprocess.run(
            ["bash", "-c", script], cwd=example, capture_output=True, text=True, check=False
        )
        assert (command, result.returncode, result.stdout) == (command, 0, shown), result.stderr


def test_python_of_the_document_prints_what_it_shows(example: Path) -> None:
    command, _ = commands()[0]
    subprocess.run(["bash", "-c", command], cwd=example, check=True)
    (program,), (shown,) = blocks("python"), blocks("text")
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=example, check=True, capture_output=True, text=True
    )
    assert result.stdout == shown


def test_example_of_the_document_with_one_changed_letter_is_tampering(example: Path) -> None:
    sql = (example / "example.sql").read_text(encoding="utf-8").replace("0.1.0", "0.1.1", 1)
    subprocess.run(["sqlite3", "ledger.db"], cwd=example, input=sql, text=True, check=True)
    with SqliteSource(example / "ledger.db") as source:
        assert verify_log(source).verdict is Verdict.TAMPERED


def test_codes_of_the_document_are_those_of_the_verifier() -> None:
    documented = re.findall(r"^\| `([a-z0-9-]+)` \| (tampered|inconclusive) \|", DOC, re.MULTILINE)
    assert documented == [
        (code, "inconclusive" if code in INCONCLUSIVE_CODES else "tampered") for code in Code
    ]


def test_kinds_of_the_document_have_schemas() -> None:
    (table,) = re.findall(r"^\| kind \| members.*?\n\n", DOC, re.DOTALL | re.MULTILINE)
    kinds = [
        kind for row in table.strip().splitlines()[2:] for kind in re.findall(r"`(.*?)`", row.split("|")[1])
    ]
    assert len(kinds) > 20
    assert {(kind, 1) for kind in kinds} <= set(SCHEMAS)
