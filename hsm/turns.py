"""Who is next: a queue in which callers take turns, whatever number of jobs each of them has waiting.

Pure: no lock, no clock. Urgent jobs go before all others, in the order in which they came; jobs that were
taken and put back go before those.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Turns(Generic[Job]):
    """Jobs that wait. Among the callers' queues the turn goes round; within one, first come, first served."""

    def __init__(self) -> None:
        self._urgent: deque[Job] = deque()
        self._callers: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, job: Job, caller: Hashable) -> None:
        """Queue a job behind the other jobs of its caller."""
        queue = self._callers.get(caller)
        if queue is None:
            queue = self._callers[caller] = deque()
        queue.append(job)
        self._size += 1

    def add_urgent(self, job: Job) -> None:
        """Queue a job that goes before all callers' jobs."""
        self._urgent.append(job)
        self._size += 1

    def put_back(self, job: Job) -> None:
        """Queue a job that had its turn and could not be done: it is next."""
        self._urgent.appendleft(job)
        self._size += 1

    def take(self) -> Job | None:
        """Take the job whose turn it is, if there is any."""
        if self._urgent:
            self._size -= 1
            return self._urgent.popleft()
        if not self._callers:
            return None
        caller, queue = next(iter(self._callers.items()))
        job = queue.popleft()
        self._size -= 1
        if queue:
            self._callers.move_to_end(caller)
        else:
            del self._callers[caller]
        return job

    def remove(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Take out and return every job that is unwanted; the others keep their order."""
        removed: list[Job] = []

        def keep(queue: deque[Job]) -> deque[Job]:
            kept: deque[Job] = deque()
            for job in queue:
                (removed if unwanted(job) else kept).append(job)
            return kept

        self._urgent = keep(self._urgent)
        for caller in list(self._callers):
            self._callers[caller] = queue = keep(self._callers[caller])
            if not queue:
                del self._callers[caller]
        self._size -= len(removed)
        return removed
