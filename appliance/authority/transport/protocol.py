"""The frames on the authority's sockets: four bytes of length, big-endian, and that much MessagePack.

A request is ``{id, op, args}``, a reply ``{id, ok}`` or ``{id, refusal}``. Replies come in any order; the id
is the requester's and says which request each belongs to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from appliance.errors import ChanceryError, Refusal

# A policy of a thousand files is the largest thing that is ever sent; entries go in portions of 4 MB.
MAX_FRAME: Final = 32 * 1_048_576
_LENGTH: Final = struct.Struct(">I")


class ProtocolError(ChanceryError):
    """Bytes that are no frame, or a frame that is no request: the peer is of another version, or broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; ``id`` is the requester's."""

    id: int
    op: str
    args: Mapping[str, Any]


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield every frame that is complete with these bytes.

        Raises:
            ProtocolError: a frame is too long, or not a map.
        """
        self._buffer += received
        position = 0
        while len(self._buffer) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, position)
            if length > MAX_FRAME:
                raise ProtocolError(f"got a frame of {length} bytes, expected at most {MAX_FRAME}")
            end = position + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            yield _decode(self._buffer[position + _LENGTH.size : end])
            position = end
        del self._buffer[:position]


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """Encode a message with its length before it.

    Raises:
        ProtocolError: it is too long.
    """
    body: bytes = msgpack.packb(message, use_bin_type=True)
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"got a message of {len(body)} bytes, expected at most {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


def parse_request(message: Mapping[str, Any]) -> Request:
    """Parse a frame as a request.

    Raises:
        ProtocolError: it is none.
    """
    id_, op, args = message.get("id"), message.get("op"), message.get("args")
    if type(id_) is not int or not isinstance(op, str) or not isinstance(args, dict) or len(message) != 3:
        raise ProtocolError("expected a request of id, op and args")
    return Request(id=id_, op=op, args=args)


def build_reply(id_: int, outcome: object | Refusal) -> dict[str, Any]:
    """Build the reply to the request ``id_``."""
    if isinstance(outcome, Refusal):
        return {"id": id_, "refusal": outcome.to_wire()}
    return {"id": id_, "ok": outcome}


def parse_reply(message: Mapping[str, Any]) -> tuple[int, Any | Refusal]:
    """Parse a frame as a reply: the request's id, and the result or the refusal.

    Raises:
        ProtocolError: it is none.
    """
    id_ = message.get("id")
    if type(id_) is not int or len(message) != 2:
        raise ProtocolError("expected a reply of id and ok or refusal")
    if "refusal" in message:
        return id_, Refusal.from_wire(message["refusal"])
    return id_, message.get("ok")


def _decode(body: bytearray) -> Mapping[str, Any]:
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:  # UnicodeDecodeError is a ValueError
        raise ProtocolError(f"not MessagePack: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("expected a map")
    return message
