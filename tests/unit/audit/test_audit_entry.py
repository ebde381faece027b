"""Entry bytes: one way to write each entry, and nothing else is read."""

from __future__ import annotations

import hashlib

import pytest

from audit.entry import (
    FIRST_PREV,
    MAX_ENTRY_BYTES,
    MAX_INTEGER,
    LeafHash,
    canonical_json,
    check_link,
    decode_entry,
    encode_entry,
    parse_canonical,
)
from audit.errors import EntryError, TooLarge

# sha256 by: (printf '\0'; printf '%s' '<the line>') | sha256sum
GOLDEN = (
    b'{"data":{"node":"a","root":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",'
    b'"size":0,"software":"chancery 1"},"kind":"heartbeat",'
    b'"prev":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"seq":0,"time_ms":1764000000123,"v":1}'
)


def test_golden_entry_decodes_and_encodes_to_the_same_bytes() -> None:
    entry = decode_entry(GOLDEN)
    again = encode_entry(
        kind="heartbeat", v=1, data=entry.data, prev=FIRST_PREV, seq=0, time_ms=1764000000123
    )
    assert again == entry
    assert again.raw == GOLDEN
    assert again.leaf_hash == hashlib.sha256(b"\0" + GOLDEN).digest()


def test_strings_are_escaped_as_rfc_8785_section_3_2_2_2_says() -> None:
    # The string of RFC 8785's own example, without its lone escapes.
    text = '€$\u000f\nA\'B"\\\\"/'
    assert canonical_json({"a": text}) == b'{"a":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-1}',
        b'{"a":-0}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"b":1,"a":1}',
        b'{"A":1}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b"\xef\xbb\xbf{}",
        b"[]",
        b"1",
        b"",
        b"[" * 50_000,
        b'{"a":' * 9_000,
    ],
)
def test_bytes_that_are_not_the_canonical_form_are_refused(raw: bytes) -> None:
    with pytest.raises(EntryError):
        parse_canonical(raw)


@pytest.mark.parametrize(
    "value",
    [
        {"a": None},
        {"a": 1.5},
        {"a": -1},
        {"a": MAX_INTEGER + 1},
        {"A": 1},
        {"": 1},
        {"a": "\ud800"},
        {"a": (1,)},
    ],
)
def test_values_without_a_form_are_refused(value: object) -> None:
    with pytest.raises(EntryError):
        canonical_json(value)


def test_nesting_is_bounded_without_recursion_error() -> None:
    value: object = "x"
    for _ in range(100_000):
        value = [value]
    with pytest.raises(EntryError, match="nested"):
        canonical_json({"a": value})
    while isinstance(value, list):  # so that its destructor does not recurse
        value = value.pop()


def test_entry_above_the_limit_is_too_large_and_at_the_limit_is_not() -> None:
    def encode(length: int) -> int:
        data = {"a": "x" * length}
        return len(encode_entry(kind="a", v=1, data=data, prev=FIRST_PREV, seq=0, time_ms=0).raw)

    room = MAX_ENTRY_BYTES - encode(0)
    assert encode(room) == MAX_ENTRY_BYTES
    with pytest.raises(TooLarge):
        encode(room + 1)


def test_link_of_an_entry_is_its_own_even_when_its_data_look_like_one() -> None:
    data = {"prev": "0" * 64, "text": ',"prev":"' + "1" * 64 + '","seq":9,"time_ms":1,"v":1}'}
    entry = encode_entry(kind="a", v=1, data=data, prev=LeafHash(b"\x07" * 32), seq=41, time_ms=5)
    assert check_link(entry.raw, seq=41, prev=entry.prev) == entry.leaf_hash


@pytest.mark.parametrize("tail", [b"", b" ", b"}", b',"w":2}'])
@pytest.mark.parametrize(("seq", "prev"), [(40, b"\x07" * 32), (4, b"\x07" * 32), (41, b"\x08" * 32)])
def test_bytes_of_another_place_in_the_chain_are_no_link(seq: int, prev: bytes, tail: bytes) -> None:
    entry = encode_entry(kind="a", v=1, data={}, prev=LeafHash(b"\x07" * 32), seq=41, time_ms=5)
    with pytest.raises(EntryError, match="does not follow"):
        check_link(entry.raw + tail, seq=seq, prev=LeafHash(prev))
    if tail:
        with pytest.raises(EntryError, match="does not follow"):
            check_link(entry.raw[:-1] + tail + b"}", seq=41, prev=entry.prev)
