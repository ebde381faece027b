"""How far each courier is: a small file beside the index, written after every delivery.

It is lost with the directory of the index, and with nothing else; then everything is delivered once more.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

FILE_NAME: Final = "alarms.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The first entry whose alarms are not delivered yet, and the last HOLD that is, by its moment."""

    next_seq: int = 0
    hold_ns: int = 0


class Positions:
    """The positions of all couriers. Thread-safe; one process writes them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known = dict(read_positions(path))

    def keep(self, couriers: Iterable[str]) -> None:
        """Remember these couriers, be it that they have not come anywhere yet, and forget all others."""
        with self._lock:
            self._known = {name: self.get(name) for name in couriers}
            self._write()

    def get(self, courier: str) -> Position:
        """Return how far a courier is; one that is new begins at the first entry."""
        return self._known.get(courier, Position())

    def move(self, courier: str, *, next_seq: int | None = None, hold_ns: int | None = None) -> None:
        """Remember that a courier has come further, before it goes on."""
        with self._lock:
            before = self.get(courier)
            self._known[courier] = replace(
                before,
                next_seq=before.next_seq if next_seq is None else next_seq,
                hold_ns=before.hold_ns if hold_ns is None else hold_ns,
            )
            self._write()

    def _write(self) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        text = json.dumps({name: asdict(each) for name, each in self._known.items()})
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def read_positions(path: Path) -> Mapping[str, Position]:
    """Read the positions; of a file that is not there, or is none, nobody has one."""
    try:
        data = json.loads(path.read_text("utf-8"))
        return {name: Position(**each) for name, each in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
