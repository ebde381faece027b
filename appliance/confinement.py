"""What a process of the service gives up when it starts, for good and for what it starts in turn.

Three things cost nothing here and take much from whoever breaks in: no core dumps, in which PIN, keys and
credentials would lie; no memory that another process of the same user can read or trace; and no more rights
than there are, whatever setuid program is found.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

# The numbers of prctl(2).
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_OPEN_FILES: Final = 65_536


def confine() -> None:
    """Give it up.

    Raises:
        OSError: the kernel does not let us.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def allow_open_files() -> None:
    """Raise the limit of open files to what many connections need; the usual one is one person's."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, wanted), most))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
