"""Making a CA key: ordered, made on the token, put on record with its transcript. In that order.

The order is verified before the token is asked, so that nobody can fill it with keys, and again when the key
is put on record: between the two another policy may have been applied. A crash in between leaves a key on the
token that is on nobody's record and signs nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from functools import partial
from typing import Final

from appliance.authority.administration import Answer, CarryOut, check_ca, record_ca
from appliance.authority.commands import CreateCa
from appliance.authority.events import Event, OrderData
from appliance.authority.orders import OrderBody
from appliance.authority.signing import Signing
from appliance.authority.state import State
from appliance.authority.writer import At, Writer
from appliance.errors import Refusal
from audit.entry import Entry
from hsm.algorithm import Algorithm
from hsm.errors import HsmError
from hsm.pool import Pool

log = logging.getLogger(__name__)

# A TPM takes a minute or two for RSA keys.
GENERATE_S: Final = 300.0


class Ceremony:
    """Makes CA keys, one at a time."""

    def __init__(self, pool: Pool, signing: Signing, writer: Writer) -> None:
        self._pool = pool
        self._signing = signing
        self._writer = writer
        self._one_at_a_time = threading.Lock()

    def create_ca(self, command: CreateCa, orders: Sequence[OrderBody], answer: Answer) -> None:
        """Make a key for a CA; ``answer`` gets the entries, or the refusal."""
        begin = partial(self._begin, command, orders, answer)
        self._writer.submit(CarryOut(command, orders, partial(_check, command), begin))

    def _begin(
        self,
        command: CreateCa,
        orders: Sequence[OrderBody],
        answer: Answer,
        checked: Sequence[Entry] | Refusal,
    ) -> None:
        """Leave the writer's thread, which waits for nothing: an RSA key takes a token seconds."""
        if isinstance(checked, Refusal):
            answer(checked)
            return
        make = partial(self._make, command, orders, answer)
        threading.Thread(target=make, name="ceremony", daemon=True).start()

    def _make(self, command: CreateCa, orders: Sequence[OrderBody], answer: Answer) -> None:
        try:
            with self._one_at_a_time:
                label, algorithm = key_label(command.name), Algorithm(command.algorithm)
                made = self._pool.call(
                    lambda session: session.token.generate(label, algorithm), call_s=GENERATE_S
                )
                key = self._pool.private_key(made.record.public_key, f"a key of the CA {command.name}")
                self._signing.add_key(key)
        except HsmError as error:
            log.error("no key for the CA %s: %s", command.name, error)  # noqa: TRY400 - a known cause
            answer(Refusal("hsm-unavailable", f"the token made no key: {error}", retry_after_s=5))
            return
        self._writer.submit_owed(record_ca(command, made, orders, answer))


def key_label(name: str) -> str:
    """Return a label for a new CA key: labels are never used twice, not even by a ceremony that failed."""
    return f"ca-{name[:40]}-{secrets.token_hex(4)}"


def _check(command: CreateCa, state: State, _at: At, _orders: list[OrderData]) -> list[Event]:
    check_ca(command, state)
    return []
