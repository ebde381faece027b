"""The tree: every proof of every small tree holds, none holds after a change, and both readers agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import LeafHash, leaf_hash
from audit.errors import ProofError
from audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    root_of_leaves,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]
ROOTS = [root_of_leaves(LEAVES[:size]) for size in range(len(LEAVES) + 1)]
SIZES = st.integers(1, len(LEAVES))


def read_hash(level: int, index: int) -> bytes:
    return root_of_leaves(LEAVES[index << level : (index + 1) << level])


# Leaves and roots of the reference implementation: google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc, "kInputs" and "kRoots".
CT_INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), CT_ROOTS.items())
def test_roots_are_those_of_certificate_transparency(size: int, root: str) -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in CT_INPUTS[:size]]
    assert root_of_leaves(leaves).hex() == root


def test_every_inclusion_proof_of_small_trees_verifies() -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, read_hash)
            verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof_of_small_trees_verifies() -> None:
    for new in range(1, len(LEAVES) + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, read_hash)
            verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


@given(st.data(), SIZES)
def test_changed_inclusion_proof_fails(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, read_hash)
    other = data.draw(st.integers(0, len(LEAVES) - 1).filter(lambda number: number != index))
    with pytest.raises(ProofError):
        verify_inclusion(LEAVES[other], index, size, proof, ROOTS[size])
    with pytest.raises(ProofError):
        verify_inclusion(LEAVES[index], index, size, (*proof, LEAVES[0]), ROOTS[size])
    if proof:
        with pytest.raises(ProofError):
            verify_inclusion(LEAVES[index], index, size, proof[:-1], ROOTS[size])


@given(st.data(), st.integers(2, len(LEAVES)))
def test_changed_consistency_proof_fails(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    proof = list(consistency_proof(old, new, read_hash))
    with pytest.raises(ProofError):
        verify_consistency(old, ROOTS[old - 1], new, ROOTS[new], proof)
    with pytest.raises(ProofError):
        verify_consistency(old, ROOTS[old], new, ROOTS[new - 1], proof)
    with pytest.raises(ProofError):
        verify_consistency(old, ROOTS[old], new, ROOTS[new], [*proof, bytes(32)])
    with pytest.raises(ProofError):
        verify_consistency(old, ROOTS[old], new, ROOTS[new], proof[:-1])


@pytest.mark.parametrize("bounds", [(-1, 3), (3, 3), (0, 0)])
def test_index_out_of_bounds_fails(bounds: tuple[int, int]) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(LEAVES[0], *bounds, [], ROOTS[1])


def test_empty_tree_is_the_beginning_of_every_tree_and_proves_nothing_else() -> None:
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[5], [])
    with pytest.raises(ProofError):
        verify_consistency(0, ROOTS[1], 5, ROOTS[5], [])


@given(st.lists(st.binary(min_size=32, max_size=32).map(LeafHash), max_size=40))
def test_frontier_grows_to_the_root_of_its_leaves(leaves: list[LeafHash]) -> None:
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    assert frontier.size == len(leaves)
    assert frontier.root() == root_of_leaves(leaves)
