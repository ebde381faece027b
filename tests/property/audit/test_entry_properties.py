"""Canonical JSON against the standard library, which is slower and writes the same bytes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from audit.entry import MAX_INTEGER, canonical_json, parse_canonical

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = TEXTS | st.booleans() | st.integers(0, MAX_INTEGER)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5)
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_any_object_has_the_bytes_that_the_standard_library_writes(value: dict[str, Any]) -> None:
    theirs = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert canonical_json(value) == theirs
    assert parse_canonical(theirs) == value
