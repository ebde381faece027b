"""What placing a lock records of a person and of a group, and what it revokes. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.authority.cutting.cutting import Cause
from appliance.authority.cutting.locking import find_lock
from appliance.authority.cutting.revocation import check_no_ca_key
from appliance.authority.fold.records import AppliedPolicy, IssuedCertificate
from appliance.authority.fold.state import State
from appliance.authority.writer import At
from appliance.cutting import LockBody
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile, parse_policy
from audit.ledger import Ledger
from audit.merkle import Frontier
from audit.stores.memory import MemoryStore
from support.authority import NOW_MS, POLICY, identity, seed_entries

ADA = """
[[person]]
name = "ada"
identities = ["oidc:ada", "ldap:ada"]
[[group]]
name = "staff"
members = ["oidc:ada", "oidc:bob"]
"""
LATER = ADA.replace('"ldap:ada"]', '"mtls:ada"]').replace('"oidc:bob"]', '"oidc:carl"]')
HELD = {100: "oidc:ada", 101: "ldap:ada", 102: "mtls:ada", 103: "oidc:bob", 104: "oidc:carl"}


class Locking:
    """A ledger in memory, its state, and certificates of several accounts."""

    def __init__(self) -> None:
        self.ledger, self.state = Ledger.create(MemoryStore()), State()
        for kind, data in seed_entries():
            self._append(kind, data)
        for seq, subject in HELD.items():
            self.state.certificates[seq] = IssuedCertificate(
                seq=seq,
                subject=subject,
                subject_key=b"k" * 32,
                ca_key="SHA256:ca",
                valid_after=0,
                valid_before=NOW_MS // 1000 + 3_600,
                outcome="issued",
            )
            self.state.by_subject.setdefault(subject, {})[seq] = None
        self.apply(ADA)

    def _append(self, kind: str, data: object) -> None:
        with self.ledger.batch(NOW_MS) as batch:
            self.state.apply(batch.append(kind, data))  # type: ignore[arg-type]

    def apply(self, tables: str) -> None:
        """Put a policy in force."""
        policy = parse_policy([PolicyFile(name="policy.toml", text=POLICY + tables)])
        self.state.applied = AppliedPolicy(seq=2, policy=policy)

    def place(self, **named: str) -> tuple[Cause, list[int]]:
        """Place a lock as carol; return what it is made of, and the certificates that it is on."""
        body = LockBody.model_validate({"reason": "left", **named})
        at = At(tree=replace(Frontier(), size=self.ledger.size), time_ms=NOW_MS)
        cause = find_lock(identity("carol"), body, self.state, at)
        for event in cause.events:
            self._append(event.kind, event.data)
        return cause, sorted(each.seq for each in cause.certificates(self.state))


def test_lock_of_a_person_records_his_accounts_and_covers_all_of_them() -> None:
    cause, covered = Locking().place(person="ada")
    (event,) = cause.events
    assert event.data["accounts"] == ["ldap:ada", "oidc:ada"]
    assert covered == [100, 101]


def test_lock_of_a_person_keeps_accounts_that_a_later_policy_takes_and_covers_those_that_it_gives() -> None:
    locking = Locking()
    first, _ = locking.place(person="ada")
    locking.apply(LATER)
    again, covered = locking.place(person="ada")
    assert (again.events, again.by) == ((), first.by)
    assert covered == [100, 101, 102]


def test_lock_of_a_group_covers_whoever_is_in_it_now() -> None:
    locking = Locking()
    first, covered = locking.place(group="staff")
    assert "accounts" not in first.events[0].data
    assert covered == [100, 103]
    locking.apply(LATER)
    again, covered = locking.place(group="staff")
    assert (again.events, again.by) == ((), first.by)
    assert covered == [100, 104]


def test_key_of_a_ca_can_be_locked_once_it_has_retired_or_is_halted() -> None:
    locking = Locking()
    users = locking.state.cas["users"]
    (key,) = users.keys
    for left in (replace(key, phase="retired"), replace(key, halted=True)):
        locking.state.cas["users"] = replace(users, keys=(left,))
        check_no_ca_key(locking.state, key.fingerprint)
    for trusted in (key, replace(key, phase="trusted"), replace(key, phase="created")):
        locking.state.cas["users"] = replace(users, keys=(trusted,))
        with pytest.raises(Refusal, match="of the CA users"):
            locking.place(key=key.fingerprint)
