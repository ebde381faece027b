"""Keys in a real SoftHSM token: made there, found again by their public key, signing from many threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.ssh.keys import from_cryptography
from appliance.ssh.signature import sign, verify
from hsm.algorithm import Algorithm
from hsm.errors import HsmError, KeyRefused
from hsm.module import load_module
from hsm.pin import Pin
from hsm.softhsm import create_token, find_module, use_configuration
from hsm.token import Token


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    directory = tmp_path_factory.mktemp("softhsm") / "token"
    pin = Pin("user-pin-of-a-test")
    configuration = create_token(directory, "test", pin=pin, so_pin=Pin("so-pin-of-a-test"))
    use_configuration(configuration)
    opened = Token.open(load_module(find_module()), "test", pin)
    yield opened
    opened.close()


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_key_of_every_algorithm_signs_from_eight_threads(token: Token, algorithm: Algorithm) -> None:
    made = token.generate(f"key-{algorithm}", algorithm)
    record, transcript = made.record, made.transcript
    key = token.private_key(record.public_key)
    public = from_cryptography(record.public_key)
    messages = [number.to_bytes(4, "big") * 50 for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(lambda message: sign(key, message), messages))
    for message, signature in zip(messages, signatures, strict=True):
        verify(public, signature, message)
    assert f"key-{algorithm}" in transcript
    assert "pin-of-a-test" not in transcript


def test_second_key_under_a_label_is_refused(token: Token) -> None:
    token.generate("once", Algorithm.ECDSA_P256)
    with pytest.raises(KeyRefused):
        token.generate("once", Algorithm.ECDSA_P256)


def test_missing_token_is_refused(token: Token) -> None:
    with pytest.raises(HsmError, match="nowhere"):
        Token.open(load_module(find_module()), "nowhere", Pin("1234"))


def test_pin_does_not_show_itself(tmp_path: Path) -> None:
    assert "1234" not in repr(Pin("1234")) + str(Pin("1234"))
