"""From the issuance cycle to the token's pool and back: SSH on one side, PKCS#11 on the other.

Hashing is done by whoever submits, verifying and encoding on the pool's finishing thread; the threads that
call the token do nothing else. Every signature was verified with the public key before it gets out of here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint, from_cryptography
from appliance.ssh.signature import encode_signature, signature_hash
from hsm.errors import BadSignature, HsmError, NoTurn, TokenOverran
from hsm.keys import Prepared, PrivateKey, prepare
from hsm.pool import Pool

log = logging.getLogger(__name__)

NOT_HELD: Final = "the token does not hold the CA key"
NO_TURN: Final = "the token was too busy to be asked in time"
AWAY: Final = "the token was away, and was not asked"
OVERRAN: Final = "the token did not answer in time"
NOT_SIGNED: Final = "the token did not sign"
BAD_SIGNATURE: Final = "bad signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The token's answer: the SSH signature blob."""

    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """Why there is none.

    ``requested``: the token was asked, so a signature may exist. ``abandoned``: it had not answered, and may
    still do so. ``halts``: it gave a signature that does not verify, of which no byte is kept.
    """

    reason: str
    requested: bool = True
    abandoned: bool = False
    halts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningJob:
    """The to-be-signed bytes of a durable intent, the CA key's fingerprint, who asks, who waits."""

    tbs: bytes
    ca_key: str
    caller: str
    done: Callable[[Signed | Unsigned], None]


class Signing:
    """Hands jobs to the pool. ``keys`` are the pool's, by fingerprint."""

    def __init__(self, pool: Pool, keys: dict[str, PrivateKey]) -> None:
        self._pool = pool
        self._keys = keys

    def add_key(self, key: PrivateKey) -> None:
        """Add a key that the token has just made; nothing asks for it before its CA is on record."""
        self._keys[fingerprint(from_cryptography(key.public_key()))] = key

    def submit(self, job: SigningJob) -> None:
        """Queue a job; its intent is on record, so it is never turned away, and ``done`` is always called."""
        key = self._keys.get(job.ca_key)
        if key is None:
            job.done(Unsigned(reason=NOT_HELD, requested=False))
            return
        prepared = prepare(key, job.tbs, signature_hash(key))
        done = partial(_complete, job, key, prepared)
        self._pool.submit(key, prepared, caller=job.caller, done=done)


def _complete(job: SigningJob, key: PrivateKey, prepared: Prepared, answer: bytes | HsmError) -> None:
    job.done(_judge(job, key, prepared, answer))


def _judge(
    job: SigningJob, key: PrivateKey, prepared: Prepared, answer: bytes | HsmError
) -> Signed | Unsigned:
    try:
        if isinstance(answer, HsmError):
            return _explain(job, answer)
        return Signed(signature=encode_signature(key, prepared.finish(answer)))
    except BadSignature:
        log.critical("the token gave a bad signature for CA key %s: it signs nothing more", job.ca_key)
        return Unsigned(reason=BAD_SIGNATURE, halts=True)
    except (HsmError, SshFormatError) as error:
        log.error("signing with CA key %s failed: %s", job.ca_key, error)  # noqa: TRY400 - known causes
        return Unsigned(reason=NOT_SIGNED)
    except Exception:
        log.exception("signing with CA key %s failed", job.ca_key)
        return Unsigned(reason=NOT_SIGNED)


def _explain(job: SigningJob, error: HsmError) -> Unsigned:
    log.error("no signature with CA key %s: %s", job.ca_key, error)
    match error:
        case NoTurn():
            return Unsigned(reason=AWAY if error.away else NO_TURN, requested=False)
        case TokenOverran():
            return Unsigned(reason=OVERRAN, abandoned=True)
        case _:
            return Unsigned(reason=NOT_SIGNED)
