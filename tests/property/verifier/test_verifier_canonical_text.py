"""The strict reader accepts exactly what the standard library writes canonically."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.verifier.canonical import MAX_INTEGER, JsonValue, parse_object
from audit.verifier.errors import MalformedError
from audit.verifier.merkle import leaf_hash, root_of_inclusion, subtree_root
from unit.verifier.logbook import canonical, inclusion_path, root_hash

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.booleans() | st.integers(0, MAX_INTEGER) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


def accepted(octets: bytes) -> bool:
    with suppress(MalformedError):
        return canonical(parse_object(octets)) == octets
    return True


@given(value=OBJECTS)
def test_what_is_written_canonically_is_read_back(value: dict[str, JsonValue]) -> None:
    assert parse_object(canonical(value)) == value


@settings(max_examples=300)
@given(value=OBJECTS, at=st.integers(0), mask=st.integers(1, 255))
def test_changed_text_is_refused_or_canonical_itself(value: dict[str, JsonValue], at: int, mask: int) -> None:
    octets = bytearray(canonical(value))
    octets[at % len(octets)] ^= mask
    assert accepted(bytes(octets))


@given(octets=st.binary(max_size=40) | st.text('{}[]":,\\u0019ab ntfe', max_size=40).map(str.encode))
def test_arbitrary_bytes_are_refused_or_canonical(octets: bytes) -> None:
    assert accepted(octets)


@given(leaves=st.lists(st.binary(max_size=4), min_size=1, max_size=40), index=st.integers(0))
def test_tree_and_inclusion_agree_with_their_definitions(leaves: list[bytes], index: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    index %= len(hashes)
    root = root_hash(hashes)
    path = inclusion_path(hashes, index)
    assert subtree_root(hashes) == root
    assert root_of_inclusion(hashes[index], index=index, size=len(hashes), path=path) == root
