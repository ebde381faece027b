"""What the verifier raises; what it *finds* is a :class:`~audit.verifier.report.Finding`, not an error."""

from __future__ import annotations

from typing import Final

from .report import Code


class VerifierError(Exception):
    """Root of the verifier's errors."""


class UsageError(VerifierError):
    """The caller's own input cannot be used: a path, a pinned key, an earlier checkpoint, a saved state."""

    exit_code: Final = 3


class MalformedError(VerifierError):
    """Bytes or text under examination are not of the form that their specification asks for."""


class DamageError(VerifierError):
    """A source cannot be read any further; carries what is to be reported about it."""

    def __init__(self, code: Code, message: str, *, seq: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.seq = seq
