"""The Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1, from the reader's side.

A tree is kept as its frontier: the roots of the complete subtrees that its size breaks into, largest
first, one for each set bit of the size. That is all it takes to append a leaf, to compute a root, and to
go on another day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NewType

from .errors import MalformedError

LeafHash = NewType("LeafHash", bytes)
RootHash = NewType("RootHash", bytes)

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = RootHash(sha256().digest())


def leaf_hash(octets: bytes) -> LeafHash:
    """Return ``SHA-256(0x00 ‖ octets)``."""
    return LeafHash(sha256(b"\x00" + octets).digest())


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return ``SHA-256(0x01 ‖ left ‖ right)``."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree of ``size`` leaves."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise MalformedError(
                f"a tree of size {self.size} does not have a frontier of {len(self.hashes)} hashes"
            )

    def append(self, leaf: bytes) -> Frontier:
        """Return the frontier with one more leaf: each complete pair of equal subtrees becomes one."""
        carry = leaf
        full = (~self.size & self.size + 1).bit_length() - 1  # trailing ones of size: how many pairs close
        for left in reversed(self.hashes[len(self.hashes) - full :]):
            carry = node_hash(left, carry)
        return Frontier(self.size + 1, (*self.hashes[: len(self.hashes) - full], carry))

    def root(self) -> RootHash:
        """Return the root hash: the subtrees folded from the smallest up."""
        if not self.hashes:
            return EMPTY_ROOT
        *larger, root = self.hashes
        for left in reversed(larger):
            root = node_hash(left, root)
        return RootHash(root)


def subtree_root(hashes: Sequence[bytes]) -> RootHash:
    """Return the root over ``hashes``, which may be leaf hashes or the roots of equal, complete subtrees."""
    frontier = Frontier()
    for item in hashes:
        frontier = frontier.append(item)
    return frontier.root()


def root_of_inclusion(leaf: LeafHash, *, index: int, size: int, path: Sequence[bytes]) -> RootHash:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    The caller compares it with a root it has reason to believe; by itself it shows nothing.

    Raises:
        MalformedError: ``index`` is not below ``size``, or ``path`` is not of the one length it can have.
    """
    if not 0 <= index < size:
        raise MalformedError(f"a tree of size {size} has no leaf {index}")
    node, last, current = index, size - 1, bytes(leaf)
    for sibling in path:
        if last == 0 or len(sibling) != HASH_SIZE:
            raise MalformedError("the inclusion proof is too long, or a hash in it is not 32 bytes")
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise MalformedError("the inclusion proof is too short")
    return RootHash(current)
