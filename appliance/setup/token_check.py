"""Looks at the token as the authority will: in a process of its own, as the authority's user.

Run as a program by ``chancery doctor`` while the service does not run. It logs in once and signs nothing.
"""

from __future__ import annotations

import json
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Final

from appliance.authority.startup import open_token
from appliance.config import Config, calling_environment, load_config
from appliance.errors import ChanceryError
from hsm.errors import HsmError

_TIMEOUT_S: Final = 60


def describe_token(config: Config) -> tuple[bool, str]:
    """Open the token in another process; say whether that works, and what it is or why not."""
    account = None if config.users is None else pwd.getpwnam(config.users.authority)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "appliance.setup.token_check", str(config.data)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=calling_environment(),
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else (),
        )
    except subprocess.TimeoutExpired:
        return False, f"the token has not answered within {_TIMEOUT_S} s; is the device there and reachable?"
    except (OSError, subprocess.SubprocessError) as error:
        return (
            False,
            f"the token could not be looked at as {config.users and config.users.authority}: {error}",
        )
    try:
        works, detail = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return False, f"the module ended the process that tried it (exit code {done.returncode})"
    return bool(works), str(detail)


def _look(data: Path) -> tuple[bool, str]:
    try:
        token = open_token(load_config(data))
        keys = token.keys()
        token.abandon()
    except (HsmError, ChanceryError) as error:
        return False, str(error)
    return True, (
        f"{token.label!r} ({token.manufacturer} {token.model}, serial {token.serial}) opens and holds "
        f"{len(keys)} keys; it makes {', '.join(sorted(token.algorithms))}"
    )


if __name__ == "__main__":
    print(json.dumps(_look(Path(sys.argv[1]))))  # noqa: T201 - a program
