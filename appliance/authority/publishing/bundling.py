"""Host bundles, made and signed on a thread of their own: the writer waits for neither disk nor token.

A statement is made again when what it says has changed, when half of its time is over, and when a requester
has seen a later ledger than it covers. Until then the same bytes are given, so that many hosts that ask
often cost the token little.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from appliance.authority.issuing.replay import read_issued
from appliance.authority.publishing.bundle import (
    FRESH_S,
    NAMESPACE,
    HostView,
    SignedStatement,
    build_document,
    bundle_statement,
)
from appliance.errors import Refusal
from appliance.ssh.keys import format_public_key_line, from_cryptography
from appliance.ssh.sshsig import build_sshsig, format_armored_sshsig
from audit.errors import LedgerError
from audit.stores.store import Reader
from hsm.errors import HsmError
from hsm.keys import PrivateKey
from hsm.pool import Pool

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 512

Reply = Callable[[object], None]


class Bundler:
    """A thread that gives host bundles."""

    def __init__(self, pool: Pool, key: PrivateKey, reader: Reader) -> None:
        self._pool = pool
        self._key = key
        self._reader = reader
        self._queue: SimpleQueue[tuple[HostView, int, Reply]] = SimpleQueue()
        self._signed: dict[str, SignedStatement] = {}

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="bundler", daemon=True).start()

    def submit(self, view: HostView, min_size: int, reply: Reply) -> None:
        """Have ``reply`` called with the bundle, of a statement that covers ``min_size`` entries.

        Raises:
            Refusal: ``overloaded``; too many are waiting.
        """
        if self._queue.qsize() >= MAX_QUEUED:
            raise Refusal("overloaded", "too many hosts ask at once; try again", retry_after_s=5)
        self._queue.put((view, min_size, reply))

    def _run(self) -> None:
        while True:
            view, min_size, reply = self._queue.get()
            reply(self._answer(view, min_size))

    def _answer(self, view: HostView, min_size: int) -> dict[str, Any] | Refusal:
        try:
            return self._bundle(view, min_size)
        except HsmError as error:
            log.error("no bundle for %s: %s", view.host.name, error)  # noqa: TRY400 - a known cause
            return Refusal("hsm-unavailable", "the token does not sign just now; try again", retry_after_s=5)
        except LedgerError:
            log.exception("the certificate of %s could not be read", view.host.name)
            detail = "the host's certificate is on record, but cannot be read just now; try again"
            return Refusal("ledger-unavailable", detail, retry_after_s=2)
        except Exception:
            log.exception("no bundle for %s", view.host.name)
            return Refusal("internal", "the bundle could not be made; the authority's log says why")

    def _bundle(self, view: HostView, min_size: int) -> dict[str, Any]:
        document = build_document(view, self._read_certificate(view))
        signed = self._signed.get(view.host.name)
        if signed is None or not signed.covers(document, now_s=view.now_s, min_size=min_size):
            signed = self._signed[view.host.name] = self._sign(view, document)
        return {
            "document": document.decode(),
            "statement": signed.statement,
            "signature": signed.signature,
            "key": format_public_key_line(from_cryptography(self._key.public_key())),
            "size": signed.size,
            "generated_s": signed.generated_s,
            "fresh_until_s": signed.generated_s + FRESH_S,
        }

    def _read_certificate(self, view: HostView) -> str | None:
        if (issued := view.certificate) is None:
            return None
        return read_issued(self._reader, issued.seq, issued.outcome_seq).line

    def _sign(self, view: HostView, document: bytes) -> SignedStatement:
        if self._pool.problem is not None:  # known without waiting for it
            raise HsmError(self._pool.problem)
        statement = bundle_statement(
            view,
            document,
            size=view.size,
            generated_s=view.now_s,
            fresh_until_s=view.now_s + FRESH_S,
        )
        signature = format_armored_sshsig(build_sshsig(self._key, NAMESPACE, statement))
        return SignedStatement(
            digest=hashlib.sha256(document).digest(),
            size=view.size,
            generated_s=view.now_s,
            statement=statement.decode(),
            signature=signature,
        )
