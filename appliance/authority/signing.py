"""The threads that ask the token to sign, and do nothing else.

A thread has one PKCS#11 session (:mod:`hsm.sessions`), so as many signatures are under way as there are
threads. Every signature was verified with the public key before :mod:`hsm` returned it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint, from_cryptography
from appliance.ssh.signature import SigningKey, sign
from hsm.errors import BadSignature, HsmError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The token's answer: the SSH signature blob."""

    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """Why there is none. ``halts``: the token gave a signature that does not verify. Never its bytes."""

    reason: str
    halts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningJob:
    """The to-be-signed bytes of a durable intent, the CA key's fingerprint, and who waits for the outcome."""

    tbs: bytes
    ca_key: str
    done: Callable[[Signed | Unsigned], None]


class SigningThreads:
    """A queue, and the threads that empty it. ``keys`` are the token's, by fingerprint."""

    def __init__(self, keys: dict[str, SigningKey], *, threads: int) -> None:
        self._keys = keys
        self._queue: SimpleQueue[SigningJob | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"signing-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def add_key(self, key: SigningKey) -> None:
        """Add a key that the token has just made; nothing asks for it before its CA is on record."""
        self._keys[fingerprint(from_cryptography(key.public_key()))] = key

    def submit(self, job: SigningJob) -> None:
        """Queue a job; its intent is on record, so it is never turned away."""
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
        try:
            return Signed(signature=sign(self._keys[job.ca_key], job.tbs))
        except BadSignature:
            log.critical("the token gave a bad signature for CA key %s: it signs nothing more", job.ca_key)
            return Unsigned(reason="bad signature", halts=True)
        except KeyError:
            return Unsigned(reason="the token does not hold the CA key")
        except (HsmError, SshFormatError) as error:
            log.error("signing with CA key %s failed: %s", job.ca_key, error)  # noqa: TRY400 - known causes
            return Unsigned(reason="the token did not sign")
        except Exception:
            log.exception("signing with CA key %s failed", job.ca_key)
            return Unsigned(reason="signing failed")
