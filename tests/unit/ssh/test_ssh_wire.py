from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.ssh.errors import SshFormatError
from appliance.ssh.wire import (
    Reader,
    encode_boolean,
    encode_byte,
    encode_mpint,
    encode_name_list,
    encode_string,
    encode_uint32,
    encode_uint64,
)

# The examples of RFC 4251 §5.
MPINTS = {
    0: "00000000",
    0x9A378F9B2E332A7: "0000000809a378f9b2e332a7",
    0x80: "000000020080",
    -0x1234: "00000002edcc",
    -0xDEADBEEF: "00000005ff21524111",
}
NAME_LISTS = {(): "00000000", ("zlib",): "000000047a6c6962", ("zlib", "none"): "000000097a6c69622c6e6f6e65"}


def test_integers_and_strings_have_the_layout_of_rfc_4251() -> None:
    assert encode_byte(0x7F) == b"\x7f"
    assert encode_boolean(True) + encode_boolean(False) == b"\x01\x00"
    assert encode_uint32(699921578) == bytes.fromhex("29b7f4aa")  # the RFC's example
    assert encode_uint64(1 << 48 | 17) == bytes.fromhex("0001000000000011")
    assert encode_string(b"testing") == b"\x00\x00\x00\x07testing"  # the RFC's example


@pytest.mark.parametrize(("value", "encoded"), MPINTS.items())
def test_mpint_of_rfc_4251_encodes_and_reads_back(value: int, encoded: str) -> None:
    assert encode_mpint(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).mpint("n", 8) == value


def test_mpint_minus_128_takes_one_byte() -> None:
    assert encode_mpint(-128).hex() == "0000000180"


@pytest.mark.parametrize("encoded", ["0000000100", "000000020001", "00000002ff80"])
def test_mpint_with_needless_bytes_is_refused(encoded: str) -> None:
    with pytest.raises(SshFormatError, match="n at byte 0: got an mpint with needless leading bytes"):
        Reader(bytes.fromhex(encoded)).mpint("n", 8)


@pytest.mark.parametrize(("names", "encoded"), NAME_LISTS.items())
def test_name_list_of_rfc_4251_encodes_and_reads_back(names: tuple[str, ...], encoded: str) -> None:
    assert encode_name_list(names).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).name_list("names", 64) == names


@pytest.mark.parametrize("names", [("",), ("a", ""), ("a,b",), ("a b",), ("ä",), ("a\n",), ("\ud800",)])
def test_name_list_with_an_impossible_name_is_not_encoded(names: tuple[str, ...]) -> None:
    with pytest.raises(SshFormatError, match="name-list: got"):
        encode_name_list(names)


@pytest.mark.parametrize("raw", [b",", b"a,", b",a", b"a,,b", b"a b", b"\xff"])
def test_name_list_with_an_impossible_name_is_not_read(raw: bytes) -> None:
    with pytest.raises(SshFormatError, match="names at byte 0: expected names"):
        Reader(encode_string(raw)).name_list("names", 64)


def test_boolean_other_than_0_and_1_is_refused() -> None:
    reader = Reader(b"\x01\x00\x02")
    assert [reader.boolean("flag"), reader.boolean("flag")] == [True, False]
    with pytest.raises(SshFormatError, match="flag at byte 2: got the byte 2, expected 0 or 1"):
        reader.boolean("flag")


def test_string_longer_than_its_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(SshFormatError, match="name at byte 0: got 4294967295 bytes, expected at most 64"):
        Reader(b"\xff\xff\xff\xff").string("name", 64)


@pytest.mark.parametrize(
    ("encoded", "read"),
    [
        (b"", lambda reader: reader.byte("x")),
        (b"\0\0\0", lambda reader: reader.uint32("x")),
        (b"\0" * 7, lambda reader: reader.uint64("x")),
        (b"\0\0\0\4abc", lambda reader: reader.string("x", 64)),
    ],
)
def test_value_cut_off_is_refused(encoded: bytes, read: Callable[[Reader], object]) -> None:
    with pytest.raises(SshFormatError, match="x at byte") as caught:
        read(Reader(encoded))
    assert caught.value.field == "x"


def test_reader_with_bytes_left_does_not_finish() -> None:
    reader = Reader(b"\x01\x02\x03")
    reader.byte("x")
    with pytest.raises(SshFormatError, match="key at byte 1: got 2 bytes after its end, expected none"):
        reader.finish("key")


def test_nested_reader_reports_offsets_of_the_whole_blob() -> None:
    reader = Reader(encode_uint32(7) + encode_string(encode_string(b"a") + b"\x05"))
    reader.uint32("number")
    inner = reader.nested("outer", 64)
    assert inner.string("name", 1) == b"a"
    with pytest.raises(SshFormatError, match="flag at byte 13"):
        inner.boolean("flag")
    assert reader.exhausted


def test_reader_gives_back_the_bytes_it_has_read_since_an_offset() -> None:
    reader = Reader(b"abcdef", base=100)
    reader.byte("x")
    start = reader.offset
    reader.uint32("y")
    assert (start, reader.since(start)) == (101, b"bcde")
