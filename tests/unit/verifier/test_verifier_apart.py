"""The verifier stands apart: it imports itself, the standard library, SQLite and signature primitives."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import audit.verifier

FOLDER = Path(audit.verifier.__file__).parent


def test_verifier_imports_nothing_of_the_writer() -> None:
    modules = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{path.name} reaches out of the package"
                modules |= {str(node.module)} if node.level == 0 else set()
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert foreign == {"cryptography", "pysqlite3"}
