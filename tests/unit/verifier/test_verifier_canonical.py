"""The strict reader of canonical JSON, and of entries."""

from __future__ import annotations

import pytest

from audit.verifier.canonical import MAX_DEPTH, MAX_INTEGER, parse_object
from audit.verifier.entry import MAX_ENTRY, parse_entry
from audit.verifier.errors import MalformedError
from unit.verifier.logbook import Logbook, canonical


def test_canonical_text_of_every_type_is_read() -> None:
    text = (
        '{"a":[],"b":{},"c":true,"d":false,"e":0,"f":9007199254740991,"g":"é€😀/\u007f","z9_":[{"a":"b"},2]}'
    )
    assert parse_object(text.encode()) == {
        "a": [],
        "b": {},
        "c": True,
        "d": False,
        "e": 0,
        "f": MAX_INTEGER,
        "g": "é€😀/\x7f",
        "z9_": [{"a": "b"}, 2],
    }


def test_canonical_escapes_are_read_back() -> None:
    # RFC 8785 section 3.2.2.2
    assert parse_object(rb'{"a":"\b\t\n\f\r\"\\\u0000\u001f\u000b"}') == {"a": '\b\t\n\f\r"\\\0\x1f\x0b'}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a":1',
        b'{"a":1}\n',
        b'{"a":1}{}',
        b' {"a":1}',
        b'{ "a":1}',
        b'{"a": 1}',
        b'{"a":1 }',
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":[1 ,2]}',
        b'{"a"}',
        b"{a:1}",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":2}',
        b'{"A":1}',
        b'{"_a":1}',
        b'{"":1}',
        b'{"\\u0061":1}',
        b'{"' + b"a" * 65 + b'":1}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-1}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":9007199254740992}',
        b'{"a":12345678901234567}',
        b'{"a":\xd9\xa1}',  # ARABIC-INDIC DIGIT ONE is a digit, but not one of JSON's
        b'{"a":tru}',
        b'{"a":True}',
        b"{\"a\":'b'}",
        b'{"a":"b}',
        b'{"a":"\n"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\u000A"}',
        b'{"a":"\\u000a"}',
        b'{"a":"\\u001F"}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\\x"}',
        b'{"a":"\xed\xa0\x80"}',  # a surrogate in UTF-8
        b'{"a":"\xc0\xaf"}',  # an overlong slash
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_anything_but_the_canonical_text_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_object(octets)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded(opening: str, closing: str) -> None:
    inner = MAX_DEPTH - 1
    deepest = '{"a":' + opening * inner + "1" + closing * inner + "}"
    assert parse_object(deepest.encode())
    one_more = '{"a":' + opening * MAX_DEPTH + "1" + closing * MAX_DEPTH + "}"
    with pytest.raises(MalformedError, match="nested deeper"):
        parse_object(one_more.encode())
    with pytest.raises(MalformedError, match="nested deeper"):
        parse_object(('{"a":' + opening * 10_000).encode())


def test_entry_of_the_largest_size_is_read_and_a_larger_one_refused() -> None:
    log = Logbook.open()
    log.add("certificate.issued", {"signature": ""})
    room = MAX_ENTRY - len(log.entries[1])
    log.add_bytes(log.entries[1].replace(b'"signature":""', b'"signature":"' + b"A" * room + b'"'))
    assert len(parse_entry(log.entries[2]).raw) == MAX_ENTRY
    with pytest.raises(MalformedError, match="longer than 60000"):
        parse_entry(log.entries[2].replace(b"AAA", b"AAAA", 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 0},
        {"v": True},
        {"v": "1"},
        {"seq": True},
        {"seq": "1"},
        {"time_ms": False},
        {"prev": "0" * 63},
        {"prev": "A" * 64},
        {"prev": 0},
        {"kind": ""},
        {"kind": "Heartbeat"},
        {"kind": "a..b"},
        {"kind": "a" * 65},
        {"kind": 1},
        {"data": []},
        {"data": "x"},
        {"extra": 1},
    ],
)
def test_envelope_with_a_wrong_member_is_refused(changes: dict[str, object]) -> None:
    log = Logbook.open()
    with pytest.raises(MalformedError):
        parse_entry(log.add("heartbeat", {}, **changes))


def test_envelope_without_a_member_is_refused() -> None:
    with pytest.raises(MalformedError, match="prev"):
        parse_entry(canonical({"data": {}, "kind": "heartbeat", "seq": 0, "time_ms": 0, "v": 1}))
