"""When a CA's key may take a step: never so that someone is locked out, unless just that was ordered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.authority.cas.rotation import Live, check_new_key, check_step, count_live, next_step
from appliance.authority.fold.records import Ca, CaKey, IssuedCertificate, Phase
from appliance.authority.fold.state import State
from appliance.authority.ordering.commands import CaStep, CreateCa, PromoteCa, RetireCa, RotateCa, TrustCa
from appliance.errors import Refusal
from appliance.ssh.keys import fingerprint
from support.ssh_examples import public_key

NOW_S = 1_764_000_000
WAIT_S = 12 * 3_600
OLD, NEXT, STRANGER = (fingerprint(public_key("ed25519", seed)) for seed in (1, 2, 3))


def key(seed: int, phase: Phase, *, ago_s: int = 0, signed: bool = False, halted: bool = False) -> CaKey:
    """Return a key that has been trusted for so long, if it is trusted."""
    return CaKey(
        public_key=public_key("ed25519", seed),
        fingerprint=fingerprint(public_key("ed25519", seed)),
        phase=phase,
        halted=halted,
        since_ms=(NOW_S - ago_s) * 1000,
        trusted_ms=(NOW_S - ago_s) * 1000 if phase in {"trusted", "signing"} else 0,
        has_signed=signed,
    )


def state_with(*keys: CaKey, live_of: str | None = None) -> State:
    """Return a state with one CA; ``live_of`` has a certificate that is live for another hour."""
    state = State(cas={"users": Ca(name="users", type="user", customer="acme", keys=keys)})
    if live_of is not None:
        state.certificates[7] = certificate(7, live_of, NOW_S + 3_600)
    return state


def certificate(seq: int, ca_key: str, valid_before: int) -> IssuedCertificate:
    return IssuedCertificate(
        seq=seq,
        subject="mtls:alice",
        subject_key=b"",
        ca_key=ca_key,
        valid_after=0,
        valid_before=valid_before,
        outcome="issued",
    )


def signing(*, halted: bool = False) -> CaKey:
    return key(1, "signing", ago_s=90 * 86_400, signed=True, halted=halted)


def old(*, halted: bool = False) -> CaKey:
    return key(1, "trusted", ago_s=90 * 86_400, signed=True, halted=halted)


PROMOTE = PromoteCa(name="users", key=NEXT)
NOW = PromoteCa(name="users", key=NEXT, now=True)
RETIRE = RetireCa(name="users", key=OLD)
FORCE = RetireCa(name="users", key=OLD, force=True)


@pytest.mark.parametrize(
    ("command", "state", "said"),
    [
        (TrustCa(name="users", key=NEXT), state_with(signing(), key(2, "created")), "by order"),
        (PROMOTE, state_with(signing(), key(2, "trusted", ago_s=WAIT_S)), "trusted for 43200 s of 43200 s"),
        (NOW, state_with(signing(), key(2, "trusted", ago_s=1)), "ordered to sign now all the same"),
        (PROMOTE, state_with(signing(halted=True), key(2, "trusted")), "no other key of the CA signs"),
        (PROMOTE, state_with(key(2, "trusted")), "no other key of the CA signs"),
        (PromoteCa(name="users", key=OLD), state_with(old(), key(2, "signing", signed=True)), "trusted for"),
        (RETIRE, state_with(old(), key(2, "signing", signed=True)), "0 live certificates"),
        (RETIRE, state_with(old(), key(2, "signing"), live_of=NEXT), "0 live certificates"),
        (
            RETIRE,
            state_with(old(halted=True), key(2, "signing"), live_of=OLD),
            "hosts do not trust it any more",
        ),
        (FORCE, state_with(old(), key(2, "signing"), live_of=OLD), "ordered to retire all the same"),
        (RetireCa(name="users", key=NEXT), state_with(signing(), key(2, "created")), "0 live certificates"),
    ],
)
def test_step_that_locks_nobody_out_or_was_ordered_so_is_taken(
    command: CaStep, state: State, said: str
) -> None:
    assert said in check_step(command, state, NOW_S)


@pytest.mark.parametrize(
    ("command", "state", "why"),
    [
        (PROMOTE, state_with(signing(), key(2, "created", ago_s=WAIT_S)), "hosts must trust it first"),
        (NOW, state_with(signing(), key(2, "created", ago_s=WAIT_S)), "hosts must trust it first"),
        (PROMOTE, state_with(signing(), key(2, "trusted", ago_s=43_199)), "from 2025-11-24T16:00:01Z"),
        (PROMOTE, state_with(signing(), key(2, "trusted", ago_s=WAIT_S, halted=True)), "bad signature"),
        (NOW, state_with(signing(), key(2, "retired", ago_s=WAIT_S)), "is retired; hosts must trust it"),
        (PROMOTE, state_with(old(), key(2, "signing")), "is signing; hosts must trust it first"),
        (TrustCa(name="users", key=NEXT), state_with(signing(), key(2, "retired")), "is retired; only one"),
        (TrustCa(name="users", key=NEXT), state_with(key(2, "created", halted=True)), "bad signature"),
        (RETIRE, state_with(old(), key(2, "signing"), live_of=OLD), "1 certificates .* 2025-11-24T17:00:00Z"),
        (RETIRE, state_with(signing(), key(2, "trusted")), "another key must sign first"),
        (FORCE, state_with(signing(halted=True)), "another key must sign first"),
        (FORCE, state_with(key(1, "retired", signed=True)), "is retired; another"),
        (RetireCa(name="users", key=STRANGER), state_with(signing()), "there is no key"),
        (RetireCa(name="hosts", key=OLD), state_with(old()), "there is no key"),
    ],
)  # fmt: skip
def test_step_that_would_lock_someone_out_is_refused_and_says_when_it_may_be_taken(
    command: CaStep, state: State, why: str
) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        check_step(command, state, NOW_S)
    assert refused.value.slug in {"conflict", "not-found"}


def test_certificates_are_live_until_they_end_or_are_revoked_and_while_the_token_has_them() -> None:
    state = state_with(signing(), key(2, "trusted"))
    made = certificate(1, OLD, NOW_S + 60)
    state.certificates = {
        1: made,
        2: replace(made, outcome=None, valid_before=NOW_S + 90),
        3: replace(made, revoked=True),
        4: replace(made, outcome="failed"),
        5: replace(made, outcome="abandoned"),
        6: replace(made, valid_before=NOW_S),
    }
    assert count_live(state.certificates.values(), NOW_S) == {OLD: Live(count=2, until_s=NOW_S + 90)}
    assert count_live(state.certificates.values(), NOW_S + 60) == {OLD: Live(count=1, until_s=NOW_S + 90)}
    assert count_live(state.certificates.values(), NOW_S + 90) == {}


def test_next_key_is_made_beside_the_one_that_signs_and_only_one_at_a_time() -> None:
    rotate = RotateCa(name="users", algorithm="ed25519", phase="trusted")
    assert check_new_key(rotate, state_with(signing())).customer == "acme"
    assert check_new_key(rotate, state_with(old(), key(2, "signing", signed=True))).type == "user"
    assert check_new_key(rotate, state_with(signing(), key(2, "trusted", halted=True)))
    for phase in ("created", "trusted"):
        with pytest.raises(Refusal, match="has a next key already"):
            check_new_key(rotate, state_with(signing(), key(2, phase)))
    with pytest.raises(Refusal, match="there is no CA users") as refused:
        check_new_key(rotate, State())
    assert refused.value.slug == "not-found"


def test_new_ca_signs_at_once_and_one_that_signs_already_is_rotated() -> None:
    create = CreateCa(name="users", type="user", algorithm="ed25519", customer="acme", phase="signing")
    assert check_new_key(create, State()) == create
    assert check_new_key(create, state_with(key(2, "retired"))).customer == "acme"
    for phase in ("created", "signing"):
        with pytest.raises(Refusal, match=r"order ca\.rotate"):
            check_new_key(create.model_copy(update={"phase": phase}), state_with(signing()))
        with pytest.raises(Refusal, match="has a next key already"):
            check_new_key(create.model_copy(update={"phase": phase}), state_with(key(2, "created")))
    with pytest.raises(Refusal, match="is for user certificates of acme"):
        check_new_key(create.model_copy(update={"customer": "globex"}), state_with(signing()))


@pytest.mark.parametrize(
    ("keys", "which", "said"),
    [
        ((signing(),), 0, ""),
        ((signing(halted=True),), 0, "it is halted: `chancery ca rotate users`"),
        ((signing(halted=True), key(2, "trusted")), 0, ""),
        ((signing(halted=True), key(2, "trusted")), 1, "`chancery ca promote users`"),
        ((signing(), key(2, "created")), 1, "`chancery ca trust users`"),
        ((signing(), key(2, "trusted")), 1, "`chancery ca promote users` from 2025-11-25T04:00:00Z on"),
        ((signing(), key(2, "trusted", ago_s=WAIT_S)), 1, "`chancery ca promote users`"),
        ((old(), key(2, "signing")), 0, "`chancery ca retire users` from 2025-11-24T17:00:00Z on"),
        ((old(halted=True), key(2, "signing")), 0, "`chancery ca retire users`"),
        ((key(1, "retired", signed=True), key(2, "signing")), 0, ""),
    ],
)
def test_next_step_is_one_that_can_be_taken_and_says_when(
    keys: tuple[CaKey, ...], which: int, said: str
) -> None:
    state = state_with(*keys)
    live = Live(count=1, until_s=NOW_S + 3_600)
    assert next_step(state.cas["users"], keys[which], live, NOW_S, WAIT_S) == said
