"""The verifier's Merkle tree against the published vectors and the recursive definition."""

from __future__ import annotations

import pytest

from audit.verifier.errors import MalformedError
from audit.verifier.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of_inclusion, subtree_root
from unit.verifier.logbook import inclusion_path, root_hash

# Leaves and roots of the reference tree in github.com/google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc; each recomputed with the definition of RFC 6962 section 2.1.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]


def test_root_of_the_reference_tree_at_every_size() -> None:
    assert [subtree_root(HASHES[:size]).hex() for size in range(9)] == ROOTS


def test_root_of_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_inclusion_of_every_leaf_leads_to_the_root(size: int) -> None:
    for index in range(size):
        path = inclusion_path(HASHES[:size], index)
        root = root_of_inclusion(HASHES[index], index=index, size=size, path=path)
        assert root.hex() == ROOTS[size]


@pytest.mark.parametrize("size", range(1, 9))
def test_inclusion_path_of_another_length_is_refused(size: int) -> None:
    for index in range(size):
        path = inclusion_path(HASHES[:size], index)
        for wrong in ([*path, HASHES[0]], path[:-1]):
            if wrong != path:
                with pytest.raises(MalformedError):
                    root_of_inclusion(HASHES[index], index=index, size=size, path=wrong)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (8, 8)])
def test_inclusion_outside_of_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(MalformedError, match="has no leaf"):
        root_of_inclusion(HASHES[0], index=index, size=size, path=[])


def test_inclusion_hash_of_another_length_is_refused() -> None:
    with pytest.raises(MalformedError, match="not 32 bytes"):
        root_of_inclusion(HASHES[0], index=0, size=2, path=[HASHES[1][:31]])


@pytest.mark.parametrize(("size", "hashes"), [(-1, ()), (0, (b"",)), (3, (b"",)), (4, ())])
def test_frontier_that_does_not_fit_its_size_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedError):
        Frontier(size, hashes)


def test_frontier_taken_up_again_gives_the_same_root() -> None:
    saved = Frontier()
    for leaf in HASHES[:5]:
        saved = saved.append(leaf)
    again = Frontier(saved.size, saved.hashes)
    for leaf in HASHES[5:]:
        again = again.append(leaf)
    assert again.root() == root_hash(HASHES)
