"""The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1: roots, and proofs of inclusion and consistency.

Hashes of complete subtrees are named (level, index): level 0 are the leaf hashes, and (l, i) covers the
leaves from i·2^l up to (i+1)·2^l.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from audit.entry import LeafHash, RootHash
from audit.errors import ProofError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = RootHash(hashlib.sha256(b"").digest())

ReadHash = Callable[[int, int], bytes]


def hash_children(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: one hash for each complete subtree, the largest first. Enough to grow it."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: LeafHash) -> Frontier:
        """Return the frontier of the tree with one more leaf."""
        hashes = [*self.hashes, leaf]
        size = self.size
        while size & 1:
            right = hashes.pop()
            hashes[-1] = hash_children(hashes[-1], right)
            size >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> RootHash:
        """Return the root hash; of the empty tree it is SHA-256 of nothing."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = hash_children(left, root)
        return RootHash(root)


def root_of_leaves(leaves: Iterable[LeafHash]) -> RootHash:
    """Return the root hash of these leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, read_hash: ReadHash) -> tuple[bytes, ...]:
    """Return the proof that leaf ``index`` is in the tree of ``size`` leaves (RFC 9162 §2.1.3.1).

    ``read_hash`` gives the hashes of complete subtrees.

    Raises:
        ProofError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"got index {index}, expected one below the size {size}")
    return tuple(_path(index, 0, size, read_hash))


def consistency_proof(old: int, new: int, read_hash: ReadHash) -> tuple[bytes, ...]:
    """Return the proof that the tree of ``new`` leaves begins with that of ``old`` (RFC 9162 §2.1.4.1).

    Raises:
        ProofError: ``old`` is not between 1 and ``new``.
    """
    if not 0 < old <= new:
        raise ProofError(f"got {old}, expected a size from 1 to {new}")
    return tuple(_subproof(old, 0, new, read_hash, whole=True))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that ``leaf`` is leaf ``index`` of the tree of that size and root (RFC 9162 §2.1.3.2).

    It does not establish that the root is anybody's: that is the checkpoint's signature.

    Raises:
        ProofError: it is not, or a value is out of bounds.
    """
    if not 0 <= index < size:
        raise ProofError(f"got index {index}, expected one below the size {size}")
    _check_hashes([leaf, root, *proof])
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        raise ProofError(f"got {len(proof)} hashes, expected {inner + (index >> inner).bit_count()}")
    node = leaf
    for level, sibling in enumerate(proof[:inner]):
        right = index >> level & 1
        node = hash_children(sibling, node) if right else hash_children(node, sibling)
    for sibling in proof[inner:]:
        node = hash_children(sibling, node)
    if node != root:
        raise ProofError("the proof leads to another root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Verify that the tree (new, new_root) begins with the tree (old, old_root) (RFC 9162 §2.1.4.2).

    A tree of size 0 is the beginning of every tree: its root must be that of nothing and the proof empty.

    Raises:
        ProofError: it does not, or a value is out of bounds.
    """
    if not 0 <= old <= new:
        raise ProofError(f"got the sizes {old} and {new}, expected the older first")
    _check_hashes([old_root, new_root, *proof])
    if old in (0, new):
        if proof or old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ProofError(f"sizes {old} and {new} need no proof, and their roots must say so")
        return
    _verify_growth(old, old_root, new, new_root, list(proof))


def _verify_growth(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> None:
    if old & (old - 1) == 0:
        proof.insert(0, old_root)  # the old tree is one complete subtree: its root is known
    if not proof:
        raise ProofError("the proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    left = right = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            left, right = hash_children(sibling, left), hash_children(sibling, right)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            right = hash_children(right, sibling)
        node, last = node >> 1, last >> 1
    if last or left != old_root or right != new_root:
        raise ProofError("the proof leads to other roots, or is too short")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofError(f"got a hash of {len(value)} bytes, expected {HASH_SIZE}")


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(start: int, size: int, read_hash: ReadHash) -> bytes:
    """Hash the ``size`` leaves from ``start`` on; complete but for the right edge."""
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read_hash(level, start >> level)
    split = _split(size)
    return hash_children(_subtree(start, split, read_hash), _subtree(start + split, size - split, read_hash))


def _path(index: int, start: int, size: int, read_hash: ReadHash) -> list[bytes]:
    if size == 1:
        return []
    split = _split(size)
    if index < split:
        return [*_path(index, start, split, read_hash), _subtree(start + split, size - split, read_hash)]
    return [
        *_path(index - split, start + split, size - split, read_hash),
        _subtree(start, split, read_hash),
    ]


def _subproof(old: int, start: int, size: int, read_hash: ReadHash, *, whole: bool) -> list[bytes]:
    if old == size:
        return [] if whole else [_subtree(start, size, read_hash)]
    split = _split(size)
    if old <= split:
        return [
            *_subproof(old, start, split, read_hash, whole=whole),
            _subtree(start + split, size - split, read_hash),
        ]
    return [
        *_subproof(old - split, start + split, size - split, read_hash, whole=False),
        _subtree(start, split, read_hash),
    ]
