"""Making a CA key: ordered, made on the token, put on record with its transcript. In that order.

The order is verified before the token is asked, so that nobody can fill it with keys, and again when the key
is put on record: between the two another policy may have been applied
(:mod:`~appliance.authority.ordering.preparing`). A crash in between leaves a key on the token that is on
nobody's record and signs nothing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from appliance.authority.cas.rotation import NewCaKey, check_new_key, new_key_events, step_event
from appliance.authority.events import Event, OrderData
from appliance.authority.fold.state import State
from appliance.authority.ordering.administration import Answer, Build, CarryOut
from appliance.authority.ordering.commands import CaStep, RetireCa
from appliance.authority.ordering.preparing import Preparer
from appliance.authority.orders import OrderBody
from appliance.authority.signing import Signing
from appliance.authority.writer import At, Writer
from appliance.errors import Refusal
from appliance.ssh.keys import parse_public_key_line
from audit.entry import Entry
from hsm.algorithm import Algorithm
from hsm.errors import HsmError
from hsm.pool import Pool
from hsm.token import NewKey

log = logging.getLogger(__name__)

# A TPM takes a minute or two for RSA keys.
GENERATE_S: Final = 300.0


class Ceremony:
    """Makes CA keys, one at a time, and takes them from phase to phase."""

    def __init__(self, pool: Pool, signing: Signing, writer: Writer) -> None:
        self._pool = pool
        self._signing = signing
        self._writer = writer
        self._preparer = Preparer("ceremony", writer)

    def start(self) -> None:
        """Begin to make keys."""
        self._preparer.start()

    def make_key(self, command: NewCaKey, orders: Sequence[OrderBody], answer: Answer) -> None:
        """Make a key for a CA; ``answer`` gets the entries, or the refusal."""
        make = partial(self._make, command)
        self._preparer.submit(command, orders, make, answer, check=partial(_check, command))

    def _make(self, command: NewCaKey) -> Build:
        label, algorithm = key_label(command.name), Algorithm(command.algorithm)
        try:
            made = self._pool.call(
                lambda session: session.token.generate(label, algorithm), call_s=GENERATE_S
            )
            key = self._pool.private_key(made.record.public_key, f"a key of the CA {command.name}")
        except HsmError as error:
            log.error("no key for the CA %s: %s", command.name, error)  # noqa: TRY400 - a known cause
            detail = f"the token made no key: {error}"
            raise Refusal("hsm-unavailable", detail, retry_after_s=5) from error
        self._signing.add_key(key)
        return partial(_record, command, made)

    def take_step(self, command: CaStep, orders: Sequence[OrderBody], answer: Answer) -> None:
        """Take a key to its next phase; ``answer`` gets the entry, or the refusal."""
        build = partial(_build_step, command)
        done = partial(self._let_go, answer) if isinstance(command, RetireCa) else answer
        self._writer.submit(CarryOut(command, orders, build, done))

    def _let_go(self, answer: Answer, outcome: Sequence[Entry] | Refusal) -> None:
        """Expect a retired key of the token no more, which may then be destroyed there."""
        if not isinstance(outcome, Refusal):
            key = parse_public_key_line(str(outcome[0].data["public_key"])).to_cryptography()
            self._pool.release_key(key)
        answer(outcome)


def key_label(name: str) -> str:
    """Return a label for a new CA key: labels are never used twice, not even by a ceremony that failed."""
    return f"ca-{name[:40]}-{secrets.token_hex(4)}"


def _check(command: NewCaKey, state: State, _at: At, _orders: list[OrderData]) -> list[Event]:
    check_new_key(command, state)
    return []


def _record(command: NewCaKey, made: NewKey, state: State, _at: At, orders: list[OrderData]) -> list[Event]:
    return new_key_events(command, check_new_key(command, state), made, orders)


def _build_step(command: CaStep, state: State, at: At, orders: list[OrderData]) -> list[Event]:
    return [step_event(command, state, at.time_s, orders)]
