"""Long random histories: each certificate is shown to have been allowed, and one that was not is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.authority import issuance
from appliance.authority.leaves import Leaves
from appliance.authority.plan import evaluate
from appliance.authority.records import AppliedPolicy
from appliance.authority.state import State
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.identity.identity import Identity
from appliance.policy.document import Grant
from appliance.policy.evaluate import Denial, Profile
from appliance.policy.locks import Locks
from appliance.policy.requirements import Requirements
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


Request = UserRequest | HostRequest
Outcome = tuple[Profile, ...] | Denial
Decide = Callable[[State, AppliedPolicy, Identity, Request, int], Outcome]


def decide(state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int) -> Outcome:
    return evaluate(state, applied, identity, request, now_s=now_s)


def say(outcome: Outcome) -> object:
    """Return all that certificates and their intents say of a decision."""
    if isinstance(outcome, Denial):
        return outcome
    return [(replace(each, grants=()), [filed.grant.name for filed in each.grants]) for each in outcome]


def without(**members: Any) -> Decide:
    """Decide as if no grant said anything of these."""

    def change(grant: Grant) -> Grant:
        changed = copy(grant)
        for name, value in members.items():
            object.__setattr__(changed, name, value)
        return changed

    def decide_without(
        state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int
    ) -> Outcome:
        grants = tuple(replace(filed, grant=change(filed.grant)) for filed in applied.policy.grants)
        lax = replace(applied, policy=replace(applied.policy, grants=grants))
        return decide(state, lax, identity, request, now_s)

    return decide_without


def forgetting(**members: Any) -> Decide:
    """Decide as if the ledger held nothing of these."""

    def decide_forgetting(
        state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int
    ) -> Outcome:
        return decide(replace(state, **members), applied, identity, request, now_s)

    return decide_forgetting


def of_someone_else(
    state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int
) -> Outcome:
    return decide(state, applied, replace(identity, subject="alice"), request, now_s)


def an_hour_later(
    state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int
) -> Outcome:
    return decide(state, applied, identity, request, now_s + 3_600)


def for_longer(
    state: State, applied: AppliedPolicy, identity: Identity, request: Request, now_s: int
) -> Outcome:
    honest = decide(state, applied, identity, request, now_s)
    if isinstance(honest, Denial):
        return honest
    return tuple(replace(profile, valid_before=profile.valid_before + 1) for profile in honest)


MISDEEDS: dict[str, Decide] = {
    "hours forgotten": without(when=None, first=None, last=None),
    "requirements forgotten": without(require=Requirements()),
    "locks forgotten": forgetting(locks=Locks()),
    "leave forgotten": forgetting(leaves=Leaves()),
    "source forgotten": without(source=None),
    "command forgotten": without(force_command=None),
    "for longer": for_longer,
    "of someone else": of_someone_else,
    "an hour later": an_hour_later,
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


def plant(path: Path, monkeypatch: pytest.MonkeyPatch, misdecide: Decide, seed: int) -> list[int]:
    """Let an authority decide wrongly once; return the intents of that decision, if it had an occasion."""
    planted: list[int] = []

    def decide_wrongly_once(
        state: State, applied: AppliedPolicy, identity: Identity, request: Request, *, now_s: int
    ) -> Outcome:
        honest = decide(state, applied, identity, request, now_s)
        if planted or state.size < EARLIEST:
            return honest
        wrong = misdecide(state, applied, identity, request, now_s)
        if isinstance(wrong, Denial) or say(wrong) == say(honest):
            return honest
        planted.extend(range(state.size, state.size + len(wrong)))
        return wrong

    with monkeypatch.context() as patched, rehearsal(path) as authority:
        patched.setattr(issuance, "evaluate", decide_wrongly_once)
        Lifetime(authority, seed).live(STEPS)
    return planted
