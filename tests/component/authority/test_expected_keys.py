"""What start-up expects of the token: every key on record, each for one purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.authority.fold.records import Ca, CaKey, Phase
from appliance.authority.fold.state import State
from appliance.authority.startup import find_keys
from appliance.ssh.keys import fingerprint, format_public_key_line
from audit.note import format_vkey, vkey_for
from hsm.connection import Connection, Probe, TokenSource
from hsm.errors import KeyRefused, ModuleUnavailable
from hsm.module import Module
from hsm.pin import Pin
from hsm.pool import Limits, Pool
from support.authority import ORIGIN
from support.ssh_examples import public_key


def nowhere() -> Module:
    raise ModuleUnavailable("this test has no token")


def closed_pool() -> Pool:
    """Return a pool that was never opened: what is expected of its token can be said all the same."""
    source = TokenSource(load=nowhere, label="nowhere", read_pin=lambda: Pin("1234"))
    probe = Probe(public_key=public_key("ed25519", 21).to_cryptography(), message=lambda: b"")
    return Pool(Connection(source, probe), Limits())


def state_with(**keys: int) -> State:
    """Return a state whose ledger, bundle and probe keys come from these seeds."""
    seeds = {"ledger": 22, "bundle": 20, "probe": 21} | keys
    public = {purpose: public_key("ed25519", seed) for purpose, seed in seeds.items()}
    return State(
        origin=ORIGIN,
        ledger_key=format_vkey(vkey_for(ORIGIN, public["ledger"].to_cryptography())),
        bundle_key=format_public_key_line(public["bundle"]),
        probe_key=format_public_key_line(public["probe"]),
    )


def test_every_key_on_record_is_expected() -> None:
    keys = find_keys(state_with(), closed_pool())
    assert keys.cas == {}
    assert fingerprint(public_key("ed25519", 21)) != fingerprint(public_key("ed25519", 20))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"bundle": 21}, "the probe key and the bundle key"),
        ({"ledger": 20}, "the bundle key and the ledger key"),
    ],
)
def test_two_purposes_with_one_key_are_refused(keys: dict[str, int], named: str) -> None:
    with pytest.raises(KeyRefused, match=f"{named} are one key.*key purposes never mix"):
        find_keys(state_with(**keys), closed_pool())


def ca_of(name: str, seed: int, phase: Phase) -> Ca:
    key = public_key("ed25519", seed)
    keys = (CaKey(public_key=key, fingerprint=fingerprint(key), phase=phase),)
    return Ca(name=name, type="user", customer="acme", keys=keys)


@pytest.mark.parametrize("phase", ["created", "trusted", "signing"])
def test_key_of_a_ca_is_expected_in_every_phase_and_for_one_ca(phase: Phase) -> None:
    state = state_with()
    state.cas = {"users": ca_of("users", 11, phase)}
    assert set(find_keys(state, closed_pool()).cas) == {fingerprint(public_key("ed25519", 11))}
    for shared in (ca_of("other", 11, phase), ca_of("other", 21, phase)):
        state.cas["other"] = shared
        with pytest.raises(KeyRefused, match="key purposes never mix"):
            find_keys(state, closed_pool())


def test_retired_key_is_not_expected_and_need_not_be_there() -> None:
    state = state_with()
    state.cas = {"users": ca_of("users", 11, "retired")}
    assert find_keys(state, closed_pool()).cas == {}


def test_key_that_was_released_is_expected_no_more() -> None:
    pool, key = closed_pool(), public_key("ed25519", 11).to_cryptography()
    pool.private_key(key, "a key of the CA users")
    with pytest.raises(KeyRefused):
        pool.private_key(key, "something else")
    pool.release_key(key)
    pool.private_key(key, "something else")


def test_pool_without_a_module_says_so_and_keeps_trying(tmp_path: Path) -> None:
    pool = closed_pool()
    pool.start()
    assert not pool.wait_ready(5)
    assert pool.problem == "this test has no token"
    pool.stop()
