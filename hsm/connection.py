"""The way to one token, gone as often as it breaks: opened, logged in to again, its module made anew.

Whatever way it went, the token counts as there when it holds every key that is expected of it and signs a
probe. A PIN that the token refused is not shown to it again: tokens lock themselves after a few.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from hsm.algorithm import PublicKey
from hsm.errors import KeyRefused, PinRefused
from hsm.keys import prepare, spki
from hsm.module import Module
from hsm.pin import Pin
from hsm.token import Token
from hsm.transcript import spki_sha256

_LABELS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """Where the token is: how its module is loaded, its label, where its PIN is read anew each time."""

    load: Callable[[], Module]
    label: str
    read_pin: Callable[[], Pin]
    tolerated: Collection[str] = ()
    attestation: int | None = None

    def open(self, module: Module, pin: Pin) -> Token:
        """Open the token; see :meth:`hsm.token.Token.open`."""
        return Token.open(module, self.label, pin, tolerated=self.tolerated, attestation=self.attestation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The key that signs to show that the token does, and what it signs: nothing else is ever like it."""

    public_key: PublicKey
    message: Callable[[], bytes]


class Connection:
    """One token, and what is expected of it. Used by one thread; :meth:`expect` by any."""

    def __init__(self, source: TokenSource, probe: Probe) -> None:
        self._source = source
        self._expected: dict[bytes, tuple[str, PublicKey]] = {}
        self._module: Module | None = None
        self._refused: Pin | None = None
        self.probe = probe
        self.token: Token | None = None

    def expect(self, public_key: PublicKey, purpose: str) -> None:
        """Have the token refused from its next opening on if it does not hold this key.

        Raises:
            KeyRefused: the key is expected for another purpose already.
        """
        other, _ = self._expected.setdefault(spki(public_key), (purpose, public_key))
        if other != purpose:
            raise KeyRefused(
                f"{purpose} and {other} are one key, SPKI SHA-256 {spki_sha256(public_key)}: "
                "key purposes never mix"
            )

    def release(self, public_key: PublicKey) -> None:
        """Expect a key no more: the token may hold it or not."""
        self._expected.pop(spki(public_key), None)

    def log_in_again(self) -> Token:
        """Close every session, log in and take stock. No call to the token is in flight.

        Raises:
            HsmError: what is wrong, and what to do about it.
        """
        if self.token is not None:
            self.token.abandon()
        return self._open()

    def begin_anew(self) -> Token:
        """Initialise the module, anew if it was before, then as :meth:`log_in_again`."""
        if self._module is not None:
            self.token = None
            self._module.reinitialise()
        return self._open()

    def _open(self) -> Token:
        self.token = None
        if self._module is None:
            self._module = self._source.load()
        pin = self._read_pin()
        try:
            token = self._source.open(self._module, pin)
        except PinRefused:
            self._refused = pin
            raise
        self._refused = None
        # From here on the application is logged in: what fails below is undone by the next abandon().
        self.token = token
        self._take_stock(token)
        key = token.private_key(self.probe.public_key)
        key.sign_prepared(prepare(key, self.probe.message()))
        return token

    def _read_pin(self) -> Pin:
        pin = self._source.read_pin()
        if self._refused is not None and pin.reveal() == self._refused.reveal():
            raise PinRefused(
                f"token {self._source.label!r} refused this PIN, so it is not tried again: each further try "
                "may count towards a lock-out; put the right one where the PIN is read from"
            )
        return pin

    def _take_stock(self, token: Token) -> None:
        records = token.keys()
        held = {spki(record.public_key) for record in records}
        for key_spki, (purpose, public_key) in list(self._expected.items()):
            if key_spki not in held:
                labels = [record.label for record in records[:_LABELS_SHOWN]]
                raise KeyRefused(
                    f"token {token.label!r} (serial {token.serial}) does not hold {purpose}, SPKI SHA-256 "
                    f"{spki_sha256(public_key)}; it holds {len(records)} keys: {', '.join(labels) or 'none'}"
                    f"{' …' if len(records) > _LABELS_SHOWN else ''}. "
                    "Is it the right token, or has a key been removed or replaced?"
                )
