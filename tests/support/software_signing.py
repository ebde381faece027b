"""The token's part of the cycle with keys in memory. Its contract is tested together with the pool's."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from appliance.authority.signing import BAD_SIGNATURE, NOT_HELD, NOT_SIGNED, Signed, SigningJob, Unsigned
from appliance.ssh.signature import SigningKey, sign
from hsm.errors import BadSignature


class SoftwareSigning:
    """Two threads that sign; ``keys`` are by fingerprint."""

    def __init__(self, keys: dict[str, SigningKey]) -> None:
        self._keys = keys
        self._queue: SimpleQueue[SigningJob | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def submit(self, job: SigningJob) -> None:
        """Queue a job; ``done`` is always called, on another thread."""
        self._queue.put(job)

    def stop(self) -> None:
        """Finish what is queued, then end."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            job.done(self._sign(job))

    def _sign(self, job: SigningJob) -> Signed | Unsigned:
        key = self._keys.get(job.ca_key)
        if key is None:
            return Unsigned(reason=NOT_HELD, requested=False)
        try:
            return Signed(signature=sign(key, job.tbs))
        except BadSignature:
            return Unsigned(reason=BAD_SIGNATURE, halts=True)
        except Exception:  # noqa: BLE001 - tests hand over keys that raise whatever they like
            return Unsigned(reason=NOT_SIGNED)
