"""Strict JSON: what one reader could understand in another way than the next is refused."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refusal
from appliance.web.jsonbody import MAX_DEPTH, MAX_INTEGER, MAX_MEMBERS, parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def objects(members: int) -> bytes:
    return json.dumps({f"m{number}": number for number in range(members)}).encode()


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_object_is_parsed_to_what_was_written(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "Extra data"),
        (b"{}\x00", "Extra data"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b'"{}"', "expected an object"),
        (b'{"a": \xff}', "not UTF-8 at byte 6"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "a lone surrogate"),
        (b'{"\\udfff": 1}', "a lone surrogate"),
        (b'{"a": [{"b": "\\ud800x"}]}', "a lone surrogate"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1, "a": 1}', "the member 'a' is there twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "the member 'b' is there twice"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON that can be read"),
        (b'{"a": 9007199254740992}', "an integer beyond 9007199254740991"),
        (b'{"a": [-9007199254740992]}', "an integer beyond 9007199254740991"),
        (b'{"a": 1e400}', "no member takes one"),
        (b'{"a": -1.5E999}', "no member takes one"),
        (b'{"a": "\n"}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (nested(MAX_DEPTH + 1), f"nested {MAX_DEPTH + 1} deep"),
        (b"[" * 500_000, "nested 500000 deep"),
        (b'"\\\\"' + b"[" * 100, "nested 100 deep"),
        (b'{"a": "' + b'\\"' * 200 + b"[" * 200, "not JSON"),
        (objects(MAX_MEMBERS + 1), f"{MAX_MEMBERS + 1} members, expected at most {MAX_MEMBERS}"),
        (b'{"a": [' + objects(MAX_MEMBERS + 1) + b"]}", "members, expected at most"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_text_that_is_no_strict_object_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match="body: ") as refused:
        parse_object(raw)
    assert refused.value.slug == "malformed-request"
    assert reason in refused.value.detail


def test_surrogates_in_a_pair_are_one_character() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_object(nested(MAX_DEPTH))


def test_brackets_inside_strings_do_not_nest() -> None:
    text = "[" * 200 + '\\"{' * 50
    assert parse_object(json.dumps({"a": text, "b": '"'}).encode()) == {"a": text, "b": '"'}


@pytest.mark.parametrize(
    "raw",
    [
        b"{" + b",".join(b'"%x": 0' % number for number in range(90_000)) + b', "0": 0}',
        b'{"a": "' + b'\\"' * 500_000,
        b'"' * 1_000_000,
        b"[]" * 500_000,
        b'{"a": ' + b"1" * 1_000_000 + b".5}",
        b'{"a": [' + b"9" * 4_000 + (b"," + b"9" * 4_000) * 240 + b"]}",
    ],
    ids=["members", "escapes", "quotes", "brackets", "digits", "integers"],
)
def test_worst_text_of_the_longest_body_is_refused_in_a_blink(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Refusal):
        parse_object(raw)
    assert time.process_time() - began < 1
