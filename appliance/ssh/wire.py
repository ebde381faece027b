"""The data types of RFC 4251 §5, strict: one encoding for each value, and every length bounded first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from appliance.ssh.errors import SshFormatError

_NAME: Final = re.compile(r"(?!.*,)[!-~]+")


def encode_byte(value: int) -> bytes:
    """Encode a ``byte``."""
    return value.to_bytes(1, "big")


def encode_boolean(value: bool) -> bytes:
    """Encode a ``boolean``."""
    return b"\x01" if value else b"\x00"


def encode_uint32(value: int) -> bytes:
    """Encode a ``uint32``."""
    return value.to_bytes(4, "big")


def encode_uint64(value: int) -> bytes:
    """Encode a ``uint64``."""
    return value.to_bytes(8, "big")


def encode_string(value: bytes) -> bytes:
    """Encode a ``string``: its length as uint32, then its bytes."""
    return len(value).to_bytes(4, "big") + value


def encode_mpint(value: int) -> bytes:
    """Encode an ``mpint``: a string of the shortest two's complement, empty for zero."""
    if value == 0:
        return encode_string(b"")
    # A negative power of two such as -128 fits where its absolute value would not.
    bits = (value + 1 if value < 0 else value).bit_length()
    return encode_string(value.to_bytes(bits // 8 + 1, "big", signed=True))


def encode_name_list(names: Sequence[str]) -> bytes:
    """Encode a ``name-list``: a string of names joined by commas.

    Raises:
        SshFormatError: a name is empty, or has a comma or anything but visible ASCII in it.
    """
    if not all(map(_NAME.fullmatch, names)):
        raise SshFormatError(
            f"got {names!r}, expected names of visible ASCII without commas", field="name-list"
        )
    return encode_string(",".join(names).encode())


class Reader:
    """Reads one value after the other from ``data``; each method names the field for its errors.

    ``base`` is where ``data`` begins in a larger blob, so that offsets in errors are those of the blob.
    Every method raises :class:`SshFormatError` and then leaves the reader unusable.
    """

    __slots__ = ("_base", "_data", "_offset")

    def __init__(self, data: bytes, *, base: int = 0) -> None:
        self._data = data
        self._base = base
        self._offset = 0

    @property
    def offset(self) -> int:
        """The next byte's offset in the blob."""
        return self._base + self._offset

    @property
    def exhausted(self) -> bool:
        """Whether all input has been read."""
        return self._offset == len(self._data)

    def since(self, offset: int) -> bytes:
        """Return the bytes read since ``offset``, a value that :attr:`offset` had earlier."""
        return self._data[offset - self._base : self._offset]

    def byte(self, field: str) -> int:
        """Read a ``byte``."""
        return self._take(field, 1)[0]

    def boolean(self, field: str) -> bool:
        """Read a ``boolean``; RFC 4251 lets readers take any byte for true, this one takes only 1."""
        start = self.offset
        value = self.byte(field)
        if value > 1:
            raise SshFormatError(f"got the byte {value}, expected 0 or 1", field=field, offset=start)
        return value == 1

    def uint32(self, field: str) -> int:
        """Read a ``uint32``."""
        return int.from_bytes(self._take(field, 4), "big")

    def uint64(self, field: str) -> int:
        """Read a ``uint64``."""
        return int.from_bytes(self._take(field, 8), "big")

    def string(self, field: str, limit: int) -> bytes:
        """Read a ``string`` of at most ``limit`` bytes."""
        start = self.offset
        length = self.uint32(field)
        if length > limit:
            raise SshFormatError(f"got {length} bytes, expected at most {limit}", field=field, offset=start)
        return self._take(field, length)

    def nested(self, field: str, limit: int) -> Reader:
        """Read a ``string`` of at most ``limit`` bytes and return a reader of what is packed inside it."""
        inner = self.string(field, limit)
        return Reader(inner, base=self.offset - len(inner))

    def mpint(self, field: str, limit: int) -> int:
        """Read an ``mpint`` of at most ``limit`` bytes in its shortest form."""
        start = self.offset
        raw = self.string(field, limit)
        value = int.from_bytes(raw, "big", signed=True)
        if self.since(start) != encode_mpint(value):
            raise SshFormatError("got an mpint with needless leading bytes", field=field, offset=start)
        return value

    def name_list(self, field: str, limit: int) -> tuple[str, ...]:
        """Read a ``name-list`` of at most ``limit`` bytes."""
        start = self.offset
        raw = self.string(field, limit)
        names = tuple(raw.decode("latin-1").split(",")) if raw else ()
        if not all(map(_NAME.fullmatch, names)):
            raise SshFormatError(
                "expected names of visible ASCII joined by commas", field=field, offset=start
            )
        return names

    def finish(self, field: str) -> None:
        """Check that all input has been read; ``field`` names the whole."""
        if not self.exhausted:
            left = len(self._data) - self._offset
            raise SshFormatError(
                f"got {left} bytes after its end, expected none", field=field, offset=self.offset
            )

    def _take(self, field: str, length: int) -> bytes:
        end = self._offset + length
        if end > len(self._data):
            left = len(self._data) - self._offset
            raise SshFormatError(f"got {left} bytes, expected {length}", field=field, offset=self.offset)
        taken = self._data[self._offset : end]
        self._offset = end
        return taken
