"""Whichever way the certificates of a lock are found, they are the same ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.authority.cutting.cutoff import find_live, held_by
from appliance.authority.cutting.locks import covers, find_covered, find_owed
from appliance.authority.fold.records import AppliedPolicy, Ca, CaKey, IssuedCertificate
from appliance.authority.fold.state import State
from appliance.policy.document import Policy
from appliance.policy.locks import Lock, Target
from appliance.policy.tables import Group, Person
from appliance.ssh.keys import fingerprint, parse_fingerprint
from support.ssh_examples import public_key

NOW_S = 1_764_000_000
ACCOUNTS = ("oidc:ada", "ldap:ada", "oidc:bob", "api:ci")
PROVIDER_GROUPS = ("oidc:dba", "oidc:dev")
HOSTS = ("db-1.example.org", "web-1.example.org")
PRINTS = tuple(fingerprint(public_key("ed25519", seed)) for seed in (1, 2))
CA_KEYS = {name: public_key("ed25519", seed) for name, seed in (("users", 11), ("hosts", 12))}

# What no identity is called, and a policy or an entry can have all the same.
NAMES = (*ACCOUNTS, f"host:{HOSTS[0]}")

subjects = st.sampled_from([*ACCOUNTS, *(f"host:{name}" for name in HOSTS)])
outcomes = st.sampled_from([None, "issued", "failed", "abandoned"])
certificates = st.builds(
    IssuedCertificate,
    seq=st.just(0),
    subject=subjects,
    subject_key=st.sampled_from([parse_fingerprint(each) for each in PRINTS]),
    ca_key=st.sampled_from([fingerprint(key) for key in CA_KEYS.values()]),
    valid_before=st.integers(NOW_S - 100_000, NOW_S + 100_000),
    groups=st.lists(st.sampled_from(PROVIDER_GROUPS), unique=True).map(tuple),
    outcome=outcomes,
    revoked=st.booleans(),
).map(lambda each: replace(each, groups=()) if each.subject.startswith("host:") else each)
targets = st.one_of(
    st.just(Target("person", "ada")),
    st.builds(Target, st.sampled_from(["identity", "service"]), st.sampled_from(NAMES)),
    st.builds(Target, st.just("group"), st.sampled_from(["staff", "gone", *PROVIDER_GROUPS])),
    st.builds(Target, st.just("host"), st.sampled_from(HOSTS)),
    st.builds(Target, st.just("key"), st.sampled_from(PRINTS)),
    st.builds(Target, st.just("ca"), st.sampled_from([*CA_KEYS, "gone"])),
)
locks = st.builds(
    Lock, seq=st.just(0), target=targets, accounts=st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
).map(lambda lock: lock if lock.target.kind == "person" else replace(lock, accounts=()))


def make_state(held: list[IssuedCertificate], placed: list[Lock]) -> State:
    state = State(log_number=1)
    policy = Policy(
        persons={"ada": Person(name="ada", identities=ACCOUNTS[:2])},
        groups={"staff": Group(name="staff", members=NAMES[1:])},
    )
    state.applied = AppliedPolicy(seq=1, policy=policy)
    for name, key in CA_KEYS.items():
        keys = (CaKey(public_key=key, fingerprint=fingerprint(key), phase="signing"),)
        state.cas[name] = Ca(name=name, type="user", customer=None, keys=keys)
    for seq, certificate in enumerate(held, 100):
        state.certificates[seq] = replace(certificate, seq=seq)
        state.by_subject.setdefault(certificate.subject, {})[seq] = None
    for seq, lock in enumerate(placed, 10):
        state.locks.place(replace(lock, seq=seq))
    return state


@given(st.lists(certificates, max_size=12), st.lists(locks, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_lock_covers_each_certificate_that_is_found_for_it_and_no_other(
    held: list[IssuedCertificate], placed: list[Lock]
) -> None:
    state = make_state(held, placed)
    assert state.applied is not None
    policy = state.applied.policy
    for lock in state.locks.in_force.values():
        found = {each.seq for each in find_covered(state, policy, lock)}
        covered = {seq for seq, each in state.certificates.items() if covers(state, policy, lock, each)}
        assert found == covered


@given(st.lists(certificates, max_size=12), st.lists(locks, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_locks_owe_is_what_all_of_them_are_on(held: list[IssuedCertificate], placed: list[Lock]) -> None:
    state = make_state(held, placed)
    assert state.applied is not None
    owed = {each.seq for group in find_owed(state).values() for each in group}
    found = {
        each.seq
        for lock in state.locks.in_force.values()
        for each in find_covered(state, state.applied.policy, lock)
    }
    assert owed == found


@given(st.lists(certificates, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_live_is_what_may_exist_and_a_host_may_take(held: list[IssuedCertificate]) -> None:
    state = make_state(held, [])
    live = find_live(held_by(state, ACCOUNTS), NOW_S)
    assert all(each.outcome != "failed" or each.revoked for each in live)
    assert all(each.valid_before >= NOW_S - 86_400 for each in live)
    left = [each for each in held_by(state, ACCOUNTS) if each not in live]
    assert all(
        each.valid_before < NOW_S - 86_400
        or (each.outcome in {"failed", "abandoned"} and not each.revoked)
        or each.revoked_seq
        for each in left
    )
