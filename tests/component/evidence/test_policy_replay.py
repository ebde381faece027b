"""Long random histories: each certificate is shown to have been allowed, and one that was not is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.fold.leaves import Leaves
from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.fold.state import State
from appliance.authority.issuing import issuance
from appliance.authority.issuing.plan import evaluate
from appliance.evidence import hours
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.identity.identity import Identity
from appliance.policy import document
from appliance.policy.evaluate import Denial, Profile
from appliance.policy.locks import Locks
from appliance.policy.requirements import Requirements
from appliance.policy.tables import Grant
from appliance.policy.zones import load_zone
from appliance.requests import HostRequest, UserRequest
from audit.verifier import SqliteSource, Verdict
from support.authority import VKEY
from support.lifetimes import Lifetime
from support.rehearsal import rehearsal

STEPS = 300
# What is planted stands among others, not at the beginning.
EARLIEST = 60


def judge(path: Path) -> EvidenceReport:
    with SqliteSource(path) as source:
        return verify_evidence(source, pinned_key=VKEY)


@pytest.mark.parametrize("seed", range(4))
def test_every_certificate_of_a_long_history_is_shown_to_have_been_allowed(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.db"
    with rehearsal(path) as authority:
        Lifetime(authority, seed).live(STEPS)
    report = judge(path)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert report.checked["replayed decisions"] > STEPS / 15
    assert report.checked["replayed refusals"] > STEPS / 15


@pytest.mark.parametrize("seed", [0, 4])
def test_history_by_other_time_zone_rules_is_inconclusive_and_never_tampering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path = tmp_path / "ledger.db"
    with rehearsal(path) as authority:
        Lifetime(authority, seed).live(STEPS)
    # As if all zones had moved by hours since.
    monkeypatch.setattr(document, "load_zone", lambda _name: load_zone("Asia/Tokyo"))
    monkeypatch.setattr(hours, "TZDATA", "another")
    report = judge(path)
    assert {finding.code for finding in report.findings} == {Code.OTHER_TIME_ZONES}, report.to_json()
    assert report.checked["CA signatures"] == report.checked["outcomes"]


Outcome = tuple[Profile, ...] | Denial


@dataclass(frozen=True)
class Question:
    """All that a decision is made of."""

    state: State
    applied: AppliedPolicy
    identity: Identity
    request: UserRequest | HostRequest
    now_s: int
    delegate: Identity | None

    def decide(self) -> Outcome:
        return evaluate(
            self.state,
            self.applied,
            self.identity,
            self.request,
            now_s=self.now_s,
            delegate=self.delegate,
        )


Misdeed = Callable[[Question], Outcome]


def say(outcome: Outcome) -> object:
    """Return all that certificates and their intents say of a decision."""
    if isinstance(outcome, Denial):
        return outcome
    return [(replace(each, grants=()), [filed.grant.name for filed in each.grants]) for each in outcome]


def without(**members: Any) -> Misdeed:
    """Decide as if no grant said anything of these."""

    def change(grant: Grant) -> Grant:
        changed = copy(grant)
        for name, value in members.items():
            object.__setattr__(changed, name, value)
        return changed

    def misdecide(question: Question) -> Outcome:
        policy = question.applied.policy
        grants = tuple(replace(filed, grant=change(filed.grant)) for filed in policy.grants)
        lax = replace(question.applied, policy=replace(policy, grants=grants))
        return replace(question, applied=lax).decide()

    return misdecide


def forgetting(**members: Any) -> Misdeed:
    """Decide as if the ledger held nothing of these."""
    return lambda question: replace(question, state=replace(question.state, **members)).decide()


def of_someone_else(question: Question) -> Outcome:
    return replace(question, identity=replace(question.identity, subject="alice")).decide()


def an_hour_later(question: Question) -> Outcome:
    return replace(question, now_s=question.now_s + 3_600).decide()


def as_if_in_person(question: Question) -> Outcome:
    return replace(question, delegate=None).decide()


def for_longer(question: Question) -> Outcome:
    honest = question.decide()
    if isinstance(honest, Denial):
        return honest
    return tuple(replace(profile, valid_before=profile.valid_before + 1) for profile in honest)


MISDEEDS: dict[str, Misdeed] = {
    "hours forgotten": without(when=None, first=None, last=None),
    "requirements forgotten": without(require=Requirements()),
    "locks forgotten": forgetting(locks=Locks()),
    "leave forgotten": forgetting(leaves=Leaves()),
    "source forgotten": without(source=None),
    "command forgotten": without(force_command=None),
    "for longer": for_longer,
    "of someone else": of_someone_else,
    "an hour later": an_hour_later,
    "a delegate that nobody named": as_if_in_person,
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_certificate_that_was_not_allowed_is_found_among_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misdeed: str
) -> None:
    for seed in range(10):
        path = tmp_path / f"{seed}.db"
        if planted := plant(path, monkeypatch, MISDEEDS[misdeed], seed):
            break
    assert planted, "no history had an occasion for it"
    report = judge(path)
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == {Code.NOT_ALLOWED}
    assert {finding.seq for finding in report.findings} <= set(planted)


def plant(path: Path, monkeypatch: pytest.MonkeyPatch, misdecide: Misdeed, seed: int) -> list[int]:
    """Let an authority decide wrongly once; return the intents of that decision, if it had an occasion."""
    planted: list[int] = []

    def decide_wrongly_once(
        state: State,
        applied: AppliedPolicy,
        identity: Identity,
        request: UserRequest | HostRequest,
        *,
        now_s: int,
        delegate: Identity | None,
    ) -> Outcome:
        question = Question(state, applied, identity, request, now_s, delegate)
        honest = question.decide()
        if planted or state.size < EARLIEST:
            return honest
        wrong = misdecide(question)
        if isinstance(wrong, Denial) or say(wrong) == say(honest):
            return honest
        planted.extend(range(state.size, state.size + len(wrong)))
        return wrong

    with monkeypatch.context() as patched, rehearsal(path) as authority:
        patched.setattr(issuance, "evaluate", decide_wrongly_once)
        Lifetime(authority, seed).live(STEPS)
    return planted
