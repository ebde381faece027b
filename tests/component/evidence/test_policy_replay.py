"""Long random histories: each certificate is shown to have been allowed, and one that was not is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.authority import issuance
from appliance.authority.plan import evaluate
from appliance.authority.records import AppliedPolicy
from appliance.authority.state import State
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.identity.identity import Identity
from appliance.policy.document import Grant
from appliance.policy.evaluate import Denial, Profile
from appliance.policy.requirements import Requirements
from appliance.requests import HostRequest, UserRequest
from audit.verifier import SqliteSource, Verdict
from support.authority import VKEY
from support.lifetimes import Lifetime
from support.rehearsal import rehearsal

STEPS = 400


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
    assert report.checked["replayed decisions"] > STEPS / 8
    assert report.checked["replayed refusals"] > STEPS / 16


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
    planted: list[int] = []

    def decide_wrongly_once(
        state: State, applied: AppliedPolicy, identity: Identity, request: Request, *, now_s: int
    ) -> Outcome:
        honest = decide(state, applied, identity, request, now_s)
        if planted or state.size < STEPS / 2:
            return honest
        wrong = MISDEEDS[misdeed](state, applied, identity, request, now_s)
        if isinstance(wrong, Denial) or say(wrong) == say(honest):
            return honest
        planted.append(state.size)
        return wrong

    monkeypatch.setattr(issuance, "evaluate", decide_wrongly_once)
    path = tmp_path / "ledger.db"
    with rehearsal(path) as authority:
        Lifetime(authority, 1).live(STEPS)
    report = judge(path)
    assert planted
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == {Code.NOT_ALLOWED}
    assert min(finding.seq for finding in report.findings) == planted[0]
