"""What C_SignInit and C_Sign return becomes the error that python-pkcs11 raises for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pkcs11 import Attribute, ObjectClass, PKCS11Error

from hsm.algorithm import PROFILES, Algorithm
from hsm.errors import FAILURES
from hsm.signing import RAISED, CkMechanism
from support.isolated import isolated
from support.tokens import ShimmedToken

UNKNOWN = 0x80000000  # CKR_VENDOR_DEFINED


@isolated
def test_every_return_value_raises_what_the_library_raises(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, _ = token.ready_pool()
    assert pool.token is not None
    session = pool.token.open_session()
    key: Any = next(iter(session.pkcs11_session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})))
    mechanism = PROFILES[Algorithm.ECDSA_P256].sign
    for value in (*RAISED, UNKNOWN):
        token.shim.fail_with, token.shim.fail_times = value, 2
        with pytest.raises(PKCS11Error) as theirs:
            key.sign(bytes(32), mechanism=mechanism)
        with pytest.raises(PKCS11Error) as ours:
            session.signer.sign(key.handle, CkMechanism(mechanism=mechanism), bytes(32))
        assert (hex(value), type(ours.value)) == (hex(value), type(theirs.value))
        assert token.shim.fail_times == 0


def test_every_error_that_calls_for_more_than_another_try_can_come_from_a_signature() -> None:
    telling = {each for classes in FAILURES.values() for each in classes}
    assert telling <= set(RAISED.values())
