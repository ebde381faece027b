"""Tests that need a process of their own: a PKCS#11 module is one for a process, and these break theirs."""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 90
_TESTS: Final = Path(__file__).parents[1]


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a process of its own. Its only fixture is ``tmp_path``, and parameters that are text."""

    @wraps(test)
    def run(tmp_path: Path, **parameters: str) -> None:
        given = [f"{name}={value}" for name, value in parameters.items()]
        command = [sys.executable, "-m", "support.isolated", test.__code__.co_filename, test.__name__]
        done = subprocess.run(
            [*command, str(tmp_path), *given],
            env=os.environ | {"PYTHONPATH": str(_TESTS)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    return run


def _main(file: str, name: str, tmp_path: str, *given: str) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(_TIMEOUT_S - 10, exit=True)
    spec = importlib.util.spec_from_file_location("isolated_test", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parameters = dict(each.split("=", 1) for each in given)
    getattr(module, name).__wrapped__(Path(tmp_path), **parameters)
    # Not by way of threads that still wait for a token that was made to hang.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
