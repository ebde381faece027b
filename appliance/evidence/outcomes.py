"""Outcomes: one for each intent, and of what was issued the CA's signature over the intent's very bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.authority.fold.state import State
from appliance.evidence.credentials import WrongIntent
from appliance.evidence.findings import Code, Found
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import PublicKey
from appliance.ssh.signature import verify
from audit.entry import Entry


class WrongOutcome(Found):
    """An outcome without an intent, a second one, or one that contradicts the state."""

    code = Code.WRONG_OUTCOME


class BadCaSignature(Found):
    """A signature that the key which an intent names did not make over its bytes."""

    code = Code.BAD_CA_SIGNATURE


@dataclass(slots=True)
class OutcomeChecks:
    """The intents without an outcome: the bytes of each and the key that it names, None if it names none."""

    _open: dict[int, tuple[bytes, PublicKey] | None] = field(default_factory=dict)

    def begin(self, state: State, entry: Entry) -> None:
        """Note an intent: whatever else is wrong with it, the key that it names must sign what it holds.

        Raises:
            WrongIntent: there is no such key, and whatever malformed data raise.
        """
        data: Mapping[str, Any] = entry.data
        self._open[entry.seq] = None
        ca = state.cas.get(data["ca"])
        key = None if ca is None else ca.find_key(data["ca_key"])
        if key is None:
            raise WrongIntent(f"the CA {data['ca']} has no key {data['ca_key']}")
        self._open[entry.seq] = base64.b64decode(data["tbs"], validate=True), key.public_key

    def issue(self, state: State, entry: Entry) -> None:
        """Check what was issued on the state before it.

        Raises:
            BadCaSignature, WrongOutcome, and whatever malformed data raise.
        """
        seq, signed = self._close(entry)
        if signed is not None:  # that it names no key was found before
            _verify(*signed, entry)
        if state.certificates[seq].revoked:
            raise WrongOutcome(f"issued although entry {seq} was revoked before")

    def fail(self, entry: Entry) -> None:
        """Check an intent that was not fulfilled.

        Raises:
            WrongOutcome: it has an outcome already, or there is none such; or it is abandoned, and its
                signature is said not to exist.
        """
        self._close(entry)
        if entry.kind == "certificate.abandoned" and not entry.data["requested"]:
            raise WrongOutcome("abandoned means that the token was asked, and may have signed")

    def left(self) -> Iterator[int]:
        """Yield the intents that have no outcome."""
        yield from self._open

    def _close(self, entry: Entry) -> tuple[int, tuple[bytes, PublicKey] | None]:
        seq = entry.data["intent"]
        if not isinstance(seq, int) or seq not in self._open:
            raise WrongOutcome(f"there is no open intent {seq}")
        return seq, self._open.pop(seq)


def _verify(tbs: bytes, ca_key: PublicKey, entry: Entry) -> None:
    try:
        verify(ca_key, base64.b64decode(str(entry.data["signature"]), validate=True), tbs)
    except SshFormatError as error:
        raise BadCaSignature(f"the CA's signature: {error}") from error
