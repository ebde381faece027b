"""What a process sees of a token: through OpenSC's spy, after a fork, with a wrong PIN, opened again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.pin import Pin
from hsm.softhsm import create_token, find_module

PIN = "user-pin-of-a-test"
PRELUDE = """
import os, sys
from pathlib import Path
from hsm.algorithm import Algorithm
from hsm.errors import HsmError
from hsm.module import load_module
from hsm.pin import Pin
from hsm.softhsm import find_module, use_configuration
from hsm.token import Token
use_configuration(Path(sys.argv[1]))
path = Path(sys.argv[2]) if len(sys.argv) > 2 else find_module()
def opened(pin="user-pin-of-a-test"):
    return Token.open(load_module(path), "test", Pin(pin))
def refusal(call):
    try:
        call()
    except HsmError as error:
        print(type(error).__name__, error)
    else:
        print("not refused")
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    return create_token(tmp_path / "token", "test", pin=Pin(PIN), so_pin=Pin("so-pin-of-a-test"))


def run(configuration: Path, program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program, str(configuration), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_are_found_again_by_another_process(configuration: Path) -> None:
    made = run(configuration, "print(opened().generate('one', Algorithm.ECDSA_P256).record.cka_id.hex())")
    again = run(
        configuration,
        "token = opened(); (record,) = token.keys(); print(record.cka_id.hex())\n"
        "from appliance.ssh.signature import sign; sign(token.private_key(record.public_key), b'x')",
    )
    assert made == again


def test_wrong_pin_is_refused_without_showing_it(configuration: Path) -> None:
    said = run(configuration, "refusal(lambda: opened('not-the-pin-at-all'))")
    assert said.startswith("PinRefused")
    assert "not-the-pin-at-all" not in said


def test_forked_child_is_refused(configuration: Path) -> None:
    program = """
token = opened()
token.generate("one", Algorithm.ED25519)
pid = os.fork()
if pid == 0:
    refusal(token.keys)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(pid, 0)
"""
    said = run(configuration, program)
    assert said.startswith("ModuleUnavailable")
    assert "does not survive the fork" in said


def test_extractable_key_and_twins_are_refused(configuration: Path) -> None:
    command = [
        "pkcs11-tool",
        "--module",
        str(find_module()),
        "--token-label",
        "test",
        "--login",
        "--pin",
        PIN,
    ]
    command += ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin"]
    environment = {**os.environ, "SOFTHSM2_CONF": str(configuration)}
    subprocess.run(
        [*command, "--id", "01", "--extractable"], env=environment, check=True, capture_output=True
    )
    said = run(configuration, "refusal(lambda: opened().keys())")
    assert said.startswith("KeyRefused")
    subprocess.run([*command, "--id", "02"], env=environment, check=True, capture_output=True)
    assert "CKA_LABEL 'twin'" in run(configuration, "refusal(lambda: opened().keys())")


def test_module_is_told_to_lock_before_threads_use_it(configuration: Path, tmp_path: Path) -> None:
    spy = next(Path("/usr/lib").glob("*/pkcs11-spy.so"))
    log = tmp_path / "spy.log"
    run(
        configuration,
        "opened().generate('one', Algorithm.ECDSA_P256)",
        str(spy),
        PKCS11SPY=str(find_module()),
        PKCS11SPY_OUTPUT=str(log),
    )
    text = log.read_text()
    initialize = text[text.index("C_Initialize") :][:400]
    assert "flags: 2" in initialize or "CKF_OS_LOCKING_OK" in initialize, initialize
    assert text.count("C_Initialize") == 1


def test_making_a_token_puts_no_pin_into_any_argument_list(tmp_path: Path) -> None:
    program = """
import subprocess
from hsm.softhsm import create_token
seen = []
run = subprocess.run
subprocess.run = lambda command, **options: (seen.extend(command), run(command, **options))[1]
create_token(Path(sys.argv[1]), "other", pin=Pin("pin-in-secret"), so_pin=Pin("so-in-secret"))
print(seen)
"""
    assert "in-secret" not in run(tmp_path / "made", program)
