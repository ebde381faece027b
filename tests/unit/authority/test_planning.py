"""From a decision to a certificate's bytes: which key signs, what the options are, how a key id is cut."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from appliance.authority.fold.records import Ca, CaKey, Phase
from appliance.authority.fold.state import State
from appliance.authority.issuing.plan import critical_options, plan_certificate
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.key_ids import format_key_id
from appliance.policy.evaluate import Profile
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.content import MAX_KEY_ID
from appliance.ssh.keys import fingerprint
from support.ssh_examples import public_key

NOW_S = 1_764_000_000
ADA = Identity(provider="oidc", subject="ada", kind="user", authenticated_ms=0)
PROFILE = Profile(
    ca="users", customer="acme", principals=("root@web",), valid_after=NOW_S - 60, valid_before=NOW_S + 60
)
ASKED = UserRequest(public_key=public_key("ed25519", 1))


def ca_key(seed: int, phase: Phase = "signing") -> CaKey:
    key = public_key("nistp256", seed)
    return CaKey(public_key=key, fingerprint=fingerprint(key), phase=phase)


USERS = Ca(name="users", type="user", customer="acme", keys=(ca_key(11),))


def plan(ca: Ca | None, request: UserRequest | HostRequest = ASKED) -> str:
    """Return which key would sign."""
    state = State(log_number=1, cas={} if ca is None else {"users": ca})
    planned = plan_certificate(state, ADA, request, PROFILE, seq=7, nonce=bytes(32))
    assert planned.content.ca_key == planned.ca_key.public_key
    return planned.ca_key.fingerprint


def test_key_that_signs_is_taken_wherever_it_stands_among_the_others() -> None:
    keys = (ca_key(12, "trusted"), ca_key(11), ca_key(13, "retired"))
    assert plan(replace(USERS, keys=keys)) == ca_key(11).fingerprint


@pytest.mark.parametrize(
    ("ca", "said"),
    [
        (None, "has no key that signs"),
        (replace(USERS, keys=()), "has no key that signs"),
        (replace(USERS, keys=(ca_key(11, "trusted"),)), "has no key that signs"),
        (replace(USERS, type="host"), "was made for host certificates of acme"),
        (replace(USERS, customer="globex"), "was made for user certificates of globex"),
        (replace(USERS, customer=None), "was made for user certificates of None"),
        (replace(USERS, keys=(replace(ca_key(11), halted=True),)), "is halted"),
    ],
    ids=["no CA", "no key", "none signs", "for hosts", "another customer's", "nobody's", "halted"],
)
def test_ca_that_cannot_sign_the_certificate_halts_it_and_says_why(ca: Ca | None, said: str) -> None:
    with pytest.raises(Refusal, match=said) as refusal:
        plan(ca)
    assert refusal.value.slug == "issuance-halted"


def test_ca_of_users_signs_for_no_host() -> None:
    with pytest.raises(Refusal, match="was made for user certificates"):
        plan(USERS, HostRequest(public_key=public_key("ed25519", 1), host="web-1.example.org"))


def test_critical_options_are_those_of_the_profile_in_their_order() -> None:
    assert critical_options(PROFILE) == ()
    limited = replace(PROFILE, force_command="true", source=("10.0.0.0/8", "192.0.2.0/24"), verify=True)
    assert critical_options(limited) == (
        ("force-command", "true"),
        ("source-address", "10.0.0.0/8,192.0.2.0/24"),
        ("verify-required", ""),
    )


@pytest.mark.parametrize("number", range(185, 200))
def test_key_id_that_is_too_long_is_cut_in_front_of_an_escape_and_no_sooner(number: int) -> None:
    suffix = "#1.5"
    whole = format_key_id("a" * number, 1, 5)
    assert whole == "a" * min(number, MAX_KEY_ID - len(suffix)) + suffix
    key_id = format_key_id("a" * number + "\u00e4" * 9, 1, 5)
    assert re.fullmatch(r"a+(%C3|%A4)*#1\.5", key_id)
    assert MAX_KEY_ID - 2 <= len(key_id) <= MAX_KEY_ID
