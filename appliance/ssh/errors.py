"""The errors of the SSH formats: one root, so that an edge catches one class."""

from __future__ import annotations


class SshFormatError(ValueError):
    """Bytes, text or values that are not the SSH format they should be.

    ``field`` is the part's name in the words of its specification. ``offset`` is the byte at which that part
    starts, None where there are no bytes yet: in text, and in values that are to be encoded.
    """

    def __init__(self, message: str, *, field: str, offset: int | None = None) -> None:
        place = field if offset is None else f"{field} at byte {offset}"
        super().__init__(f"{place}: {message}")
        self.field = field
        self.offset = offset


class UnacceptableKey(SshFormatError):
    """A key that is well-formed or nearly so, but of a kind, size or shape that is never certified."""


class BadSignature(SshFormatError):
    """A signature that is malformed, of an algorithm its key must not use, or not over these bytes."""
