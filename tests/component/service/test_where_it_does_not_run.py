"""The command line where the service does not run, or for a user who may not: it says what to do."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.service import CHANCERY


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory in which nothing runs, and of which other users may read the configuration only."""
    # Not below pytest's own directory, which is for one user only.
    made = Path(tempfile.mkdtemp(prefix="chancery-other-"))
    made.chmod(0o755)
    try:
        (made / "chancery.toml").write_text('[token]\nmodule = "/none.so"\nlabel = "none"\n')
        for name, file in (("run", "serve.lock"), ("index", "index.db")):
            (made / name).mkdir(mode=0o700)
            (made / name / file).touch()
        yield made
    finally:
        shutil.rmtree(made)


def run(data: Path, *arguments: str, user: str = "root") -> tuple[int, str]:
    account = pwd.getpwnam(user)
    done = subprocess.run(
        [CHANCERY, "--data", data, *arguments],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


LOCK = ("lock", "place", "identity", "api:ada", "--reason", "lost")


def test_service_that_does_not_run_is_to_be_started(data: Path) -> None:
    code, said = run(data, *LOCK)
    assert (code, said) == (3, "error: the service does not run: start it with `chancery serve`\n")


@pytest.mark.parametrize(
    ("command", "code", "what"),
    [
        (LOCK, 3, "may not ask the service"),
        (("cert", "list"), 1, "index.db: this user may not read it"),
        (("access", "who"), 1, "index.db: this user may not read it"),
        (("status",), 1, "this user may not open it"),
    ],
)
def test_user_who_may_not_is_told_who_may(data: Path, command: tuple[str, ...], code: int, what: str) -> None:
    returned, said = run(data, *command, user="nobody")
    assert (returned, what in said, "run the command as root" in said) == (code, True, True), said
