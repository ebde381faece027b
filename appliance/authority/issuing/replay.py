"""The same reply again: for a request that was carried out before, and is repeated under its key.

The certificates are read from the ledger, byte for byte as they were released. Reading waits for the disk, so
it has a thread of its own: the writer, who finds out that a request is a repetition, waits for nothing.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from appliance.authority.issuing.releases import IssuedReply, Release
from appliance.errors import Refusal
from appliance.ssh.certificate import attach_signature, format_certificate_line, parse_certificate_blob
from audit.entry import leaf_hash
from audit.errors import LedgerError
from audit.stores.store import Reader

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repetition:
    """What was issued before: the seqs of the intents and of their outcomes, and who asks again."""

    intents: Sequence[tuple[int, int]]
    reply: Callable[[Release | Refusal], None]


class Replayer:
    """The thread that reads them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._queue: SimpleQueue[Repetition] = SimpleQueue()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="replayer", daemon=True).start()

    def submit(self, repetition: Repetition) -> None:
        """Have a reply given again."""
        self._queue.put(repetition)

    def _run(self) -> None:
        while True:
            repetition = self._queue.get()
            repetition.reply(self._answer(repetition.intents))

    def _answer(self, intents: Sequence[tuple[int, int]]) -> Release | Refusal:
        """Return the reply; whatever goes wrong with one is no reason to answer nobody after it."""
        try:
            return self._read(intents)
        except LedgerError:
            log.exception("a reply could not be read again")
            detail = "the certificate is on record, but cannot be read just now; try again"
            return Refusal("ledger-unavailable", detail, retry_after_s=2)
        except Exception:
            log.exception("a reply could not be given again")
            return Refusal("internal", "it could not be given again; the authority's log says why")

    def _read(self, intents: Sequence[tuple[int, int]]) -> Release:
        size = max(outcome for _, outcome in intents) + 1
        certificates = [read_issued(self._reader, intent, outcome) for intent, outcome in intents]
        return Release(certificates=certificates, ledger_size=size)


def read_issued(reader: Reader, seq: int, outcome: int) -> IssuedReply:
    """Read a certificate as it was released, from its intent and its outcome.

    Raises:
        LedgerError: they cannot be read.
    """
    (raw,) = reader.entries(seq, seq + 1)
    (concluded,) = reader.entries(outcome, outcome + 1)
    intent, issued = json.loads(raw)["data"], json.loads(concluded)["data"]
    tbs, signature = base64.b64decode(intent["tbs"]), base64.b64decode(issued["signature"])
    certificate = parse_certificate_blob(attach_signature(tbs, signature))
    return IssuedReply(
        line=format_certificate_line(certificate, certificate.content.key_id),
        content=certificate.content,
        ca=intent["ca"],
        seq=seq,
        leaf_hash=leaf_hash(raw),
    )
