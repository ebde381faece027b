"""Frames on the authority's sockets: whole however they arrive, refused when they are none."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.authority.transport.protocol import (
    MAX_FRAME,
    FrameReader,
    ProtocolError,
    build_reply,
    encode_frame,
    parse_reply,
    parse_request,
)
from appliance.errors import Refusal

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**63) | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
messages = st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=5)


@given(messages, st.lists(st.integers(1, 40), max_size=30))
def test_frames_are_the_same_however_their_bytes_arrive(sent: list[dict[str, Any]], cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, sent))
    reader, received = FrameReader(), []
    while stream:
        step = cuts.pop() if cuts else len(stream)
        received += list(reader.feed(stream[:step]))
        stream = stream[step:]
    assert received == sent


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">I", MAX_FRAME + 1),
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 1) + b"\x05",
        struct.pack(">I", 3) + b"\xa2\xff\xff",
        struct.pack(">I", 2) + b"\x80\x80",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bytes_that_are_no_frame_are_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(stream))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"id": "1", "op": "status", "args": {}},
        {"id": 1, "op": 5, "args": {}},
        {"id": 1, "op": "status", "args": []},
        {"id": 1, "op": "status", "args": {}, "more": 1},
        {"id": True, "op": "status", "args": {}},
    ],
)
def test_frame_that_is_no_request_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_request(message)


def test_refusal_crosses_the_socket_with_all_its_members() -> None:
    refusal = Refusal("policy-denied", "no", rule="default-deny", allowed=["root@web"])
    _, outcome = parse_reply(build_reply(7, refusal))
    assert isinstance(outcome, Refusal)
    assert (outcome.slug, outcome.detail, outcome.members) == ("policy-denied", "no", refusal.members)
    assert parse_reply(build_reply(8, {"a": 1})) == (8, {"a": 1})
