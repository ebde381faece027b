"""One question at a time: whoever asks the same meanwhile waits for its answer, and shares it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Sharing(Generic[_Answer]):
    """Questions under way, by name. Thread-safe."""

    def __init__(self) -> None:
        self._under_way: dict[str, Future[_Answer]] = {}
        self._lock = threading.Lock()

    def ask(self, name: str, question: Callable[[], _Answer]) -> _Answer:
        """Return the answer to the question called ``name``, asked now or a moment ago by another.

        Raises what ``question`` raises, in all who wait for it.
        """
        with self._lock:
            asked = self._under_way.get(name)
            first = asked is None
            if asked is None:
                asked = self._under_way[name] = Future()
        if first:
            self._answer(name, asked, question)
        return asked.result()

    def _answer(self, name: str, asked: Future[_Answer], question: Callable[[], _Answer]) -> None:
        try:
            asked.set_result(question())
        except Exception as error:  # noqa: BLE001 - it is raised again, by all who asked
            asked.set_exception(error)
        finally:
            with self._lock:
                del self._under_way[name]
            asked.cancel()  # if whoever asked was stopped: nobody waits for ever
