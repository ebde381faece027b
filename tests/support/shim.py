"""Builds the module that disturbs a token, and is the hand on its controls: see shim.c beside this file."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path
from typing import Final, Self

SOURCE: Final = Path(__file__).with_name("shim.c")
_WORD: Final = struct.Struct("=Q")
# In the order of the C structure.
WORDS: Final = [
    "delay_ns",
    "fail_with",
    "fail_times",
    "corrupt_times",
    "hang",
    "dead_sessions",
    "need_login",
    "need_initialize",
    "dead_process",
    "removed",
    "calls",
    "busy_ns",
    "in_flight",
    "most_in_flight",
    "finalized_in_flight",
    "initializes",
    "logins",
    "opens",
    "last_session",
]


class Shim:
    """The controls and counts of one shim, as attributes: ``shim.delay_ns = 10_000_000``."""

    module: Path
    environment: dict[str, str]

    def __init__(self, directory: Path, real_module: Path) -> None:
        module, control = directory / "shim.so", directory / "shim.control"
        command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(module)]
        subprocess.run([*command, str(SOURCE), "-ldl"], check=True, timeout=60)
        control.write_bytes(bytes(_WORD.size * len(WORDS)))
        control.chmod(0o666)  # the authority may run as another user
        with control.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        self.__dict__.update(
            module=module,
            environment={"SHIM_MODULE": str(real_module), "SHIM_CONTROL": str(control)},
            _words=mapped,
        )

    def __getattr__(self, name: str) -> int:
        if name not in WORDS:
            raise AttributeError(name)
        value: int = _WORD.unpack_from(self.__dict__["_words"], _WORD.size * WORDS.index(name))[0]
        return value

    def __setattr__(self, name: str, value: int) -> None:
        _WORD.pack_into(self.__dict__["_words"], _WORD.size * WORDS.index(name), value)

    def calm(self) -> Self:
        """Undo every disturbance; what was counted stays."""
        for name in WORDS[: WORDS.index("calls")]:
            setattr(self, name, 0)
        return self
