"""What a lock is on: whichever of its targets is asked about, until the last lock on it is lifted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.document import Policy
from appliance.policy.locks import KINDS, Lock, Locks, Target
from appliance.policy.tables import Group, Person

ADA = Person(name="ada", identities=("oidc:ada", "ldap:ada"))
POLICY = Policy(persons={"ada": ADA}, groups={"staff": Group(name="staff", members=("oidc:ada", "oidc:bob"))})
NOBODY = Policy()


def locks(*placed: Lock) -> Locks:
    found = Locks()
    for lock in placed:
        found.place(lock)
    return found


def find(found: Locks, name: str, *groups: str, policy: Policy = POLICY) -> int | None:
    lock = found.find(found.targets_of(policy, name, groups))
    return None if lock is None else lock.seq


def test_locked_person_is_every_account_that_it_has_or_had() -> None:
    found = locks(Lock(seq=5, target=Target("person", "ada"), accounts=("ldap:ada", "mtls:ada")))
    assert find(found, "oidc:ada") == 5
    assert find(found, "mtls:ada") == 5
    assert find(found, "ldap:ada", policy=NOBODY) == 5  # whatever policy came after
    assert find(found, "oidc:ada", policy=NOBODY) is None
    assert find(found, "oidc:bob") is None


def test_locked_group_is_whoever_the_policy_or_the_provider_puts_in_it() -> None:
    found = locks(
        Lock(seq=5, target=Target("group", "staff")), Lock(seq=6, target=Target("group", "oidc:dba"))
    )
    assert find(found, "oidc:bob") == 5
    assert find(found, "oidc:bob", policy=NOBODY) is None
    assert find(found, "oidc:carl", "oidc:dba") == 6
    assert find(found, "oidc:carl", "oidc:dev") is None


def test_oldest_of_several_locks_is_named_and_the_last_one_lifted_frees() -> None:
    both = (Target("identity", "oidc:bob"), Target("service", "oidc:bob"))
    found = locks(*(Lock(seq=seq, target=target) for seq, target in enumerate(both, 5)))
    assert find(found, "oidc:bob") == 5
    found.lift(5)
    assert find(found, "oidc:bob") == 6
    found.lift(6)
    assert find(found, "oidc:bob") is None
    assert found == Locks()


def test_lock_is_found_by_its_own_target_and_not_by_an_account() -> None:
    found = locks(Lock(seq=5, target=Target("person", "ada"), accounts=("oidc:ada",)))
    assert found.find_on(Target("identity", "oidc:ada")) is None
    lock = found.find_on(Target("person", "ada"))
    assert lock is not None
    assert lock.seq == 5


targets = st.builds(Target, st.sampled_from(KINDS), st.sampled_from(["a", "b"]))


@given(st.lists(st.tuples(targets, st.lists(st.sampled_from("ab"), unique=True)), max_size=6), st.data())
def test_locks_in_force_are_those_placed_and_not_lifted_in_whatever_order(
    placed: list[tuple[Target, list[str]]], data: st.DataObject
) -> None:
    found = locks(
        *(Lock(seq=seq, target=each, accounts=tuple(names)) for seq, (each, names) in enumerate(placed))
    )
    lifted = data.draw(st.sets(st.sampled_from(range(len(placed))))) if placed else set()
    for seq in data.draw(st.permutations(sorted(lifted))):
        found.lift(seq)
    left = {seq: each for seq, each in enumerate(placed) if seq not in lifted}
    assert set(found.in_force) == set(left)
    for kind in KINDS:
        for name in "ab":
            on = [s for s, (t, a) in left.items() if t == (kind, name) or (kind == "identity" and name in a)]
            lock = found.find([Target(kind, name)])
            assert (None if lock is None else lock.seq) == min(on, default=None)
