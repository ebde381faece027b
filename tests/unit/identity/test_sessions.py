"""Sessions: sealed, opened by who has the key, and good for as long as they say."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.identity.errors import InvalidCredential
from appliance.identity.sessions import KEY_BYTES, MAX_SESSION, Sealer, Session
from support.authority import identity

NOW_S = 1_764_000_000
SESSION = Session(identity=replace(identity(), groups=frozenset({"ldap:dba"})), ends_s=NOW_S + 3_600)
SEALER = Sealer(bytes(KEY_BYTES))
SEALED = SEALER.seal(SESSION)


def refused(text: str, sealer: Sealer = SEALER, now_s: int = NOW_S) -> str:
    with pytest.raises(InvalidCredential) as raised:
        sealer.open(text, now_s)
    return str(raised.value)


def test_session_opens_as_what_was_sealed_until_it_ends() -> None:
    assert SEALER.open(SEALED, NOW_S + 3_599) == SESSION
    assert "ended" in refused(SEALED, now_s=NOW_S + 3_600)


def test_session_of_another_key_is_none() -> None:
    assert "no session of this web tier" in refused(SEALED, Sealer(os.urandom(KEY_BYTES)))


def test_nothing_can_be_read_from_a_session_and_no_two_are_alike() -> None:
    assert "alice" not in SEALED
    assert SEALER.seal(SESSION) != SEALED


@settings(max_examples=200)
@given(st.integers(0, len(SEALED) - 1), st.characters(codec="ascii", exclude_categories=["Cc"]))
def test_session_of_which_one_character_is_another_does_not_open(place: int, letter: str) -> None:
    changed = SEALED[:place] + letter + SEALED[place + 1 :]
    if changed != SEALED:
        refused(changed)


@pytest.mark.parametrize(
    "text", ["", "chancery-session1.", SEALED[:-1], SEALED + "A", SEALED + "=", "\u0661"]
)
def test_text_of_another_form_is_none(text: str) -> None:
    assert refused(text)


def test_identity_of_many_groups_fits_and_of_too_many_is_refused() -> None:
    names = [f"ldap:team-{number}-{'readers' if number % 2 else 'writers'}" for number in range(500)]
    sealed = SEALER.seal(replace(SESSION, identity=replace(SESSION.identity, groups=frozenset(names))))
    assert len(sealed) < MAX_SESSION
    long = frozenset(f"ldap:{os.urandom(60).hex()}" for _ in range(200))
    with pytest.raises(InvalidCredential, match="too many groups"):
        SEALER.seal(replace(SESSION, identity=replace(SESSION.identity, groups=long)))
