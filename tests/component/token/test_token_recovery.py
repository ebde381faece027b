"""A real token that is broken at each rung of the ladder, and heals; or says what a person must do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hsm.algorithm import Algorithm
from hsm.errors import BadSignature, Failure, HsmError, NoTurn, SigningFailed, TokenOverran
from hsm.keys import prepare
from hsm.module import load_module
from hsm.pin import Pin
from hsm.recovery import Condition, Rung
from hsm.softhsm import find_module
from hsm.token import Token
from support.isolated import isolated
from support.tokens import LABEL, MESSAGE, PIN, SOON_S, ShimmedToken, eventually, submit

CKR_FUNCTION_FAILED = 0x06
CKR_DEVICE_ERROR = 0x30


@isolated
def test_failed_call_is_made_again(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool()
    token.shim.fail_with, token.shim.fail_times = CKR_FUNCTION_FAILED, 1
    assert isinstance(submit(pool, key).get(timeout=SOON_S), bytes)
    tried = pool.snapshot().counts.tried
    assert tried(Rung.CALL) == 1
    assert tried(Rung.SESSION) == tried(Rung.LOGIN) == 0


@isolated
def test_dead_session_is_replaced(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=1)
    submit(pool, key).get(timeout=SOON_S)
    opens = token.shim.opens
    token.shim.dead_sessions = token.shim.last_session
    assert isinstance(submit(pool, key).get(timeout=SOON_S), bytes)
    tried = pool.snapshot().counts.tried
    assert tried(Rung.SESSION) == 1
    assert tried(Rung.LOGIN) == 0
    assert token.shim.opens == opens + 1


@isolated
def test_lost_login_is_made_again_while_jobs_wait(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool()
    initializes = token.shim.initializes
    token.shim.need_login = 1
    answers = [submit(pool, key) for _ in range(20)]
    assert all(isinstance(answer.get(timeout=SOON_S), bytes) for answer in answers)
    tried = pool.snapshot().counts.tried
    assert tried(Rung.LOGIN) == 1
    assert tried(Rung.MODULE) == 0
    assert token.shim.initializes == initializes


@isolated
def test_module_is_initialised_anew_never_under_a_call(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=4)
    token.shim.delay_ns = 50_000_000
    answers = [submit(pool, key, caller) for caller in "abc" for _ in range(10)]
    time.sleep(0.07)
    token.shim.need_initialize = 1
    assert all(isinstance(answer.get(timeout=SOON_S), bytes) for answer in answers)
    assert pool.snapshot().counts.tried(Rung.MODULE) >= 1
    assert token.shim.finalized_in_flight == 0
    trouble = pool.snapshot().counts.last_trouble
    assert trouble is not None
    assert trouble.rung is Rung.MODULE


@isolated
def test_outage_that_only_a_new_process_ends_asks_for_one_once(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(restart_after_s=1.0, turn_s=2.0)
    token.shim.dead_process = os.getpid()
    answer = submit(pool, key)
    eventually(lambda: len(token.restarts) == 1)
    assert isinstance(answer.get(timeout=SOON_S), NoTurn)
    assert "has not worked for 1 s" in token.restarts[0]
    assert pool.snapshot().counts.tried(Rung.PROCESS) == 1
    time.sleep(1.5)
    assert len(token.restarts) == 1


@isolated
def test_call_that_hangs_is_answered_and_bars_every_deeper_rung(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=1, sign_s=0.3, turn_s=0.5, restart_after_s=1.0)
    initializes, logins = token.shim.initializes, token.shim.logins
    token.shim.hang = 1
    hanging = submit(pool, key)
    eventually(lambda: token.shim.in_flight == 1)
    waiting = submit(pool, key)
    assert isinstance(hanging.get(timeout=SOON_S), TokenOverran)
    assert isinstance(waiting.get(timeout=SOON_S), NoTurn)
    assert pool.snapshot().overran == 1
    assert pool.problem == "all 1 sessions hang: no call has come back in time"
    eventually(lambda: len(token.restarts) == 1)
    assert (token.shim.initializes, token.shim.logins) == (initializes, logins)
    token.shim.hang = 0
    eventually(lambda: pool.snapshot().busy == 0)
    assert pool.problem is None
    assert isinstance(submit(pool, key).get(timeout=SOON_S), bytes)
    assert hanging.empty()


@isolated
def test_bad_signature_is_not_returned_and_not_retried(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    _, key = token.ready_pool()
    calls = token.shim.calls
    token.shim.corrupt_times = 1
    with pytest.raises(BadSignature):
        key.sign_prepared(prepare(key, MESSAGE))
    assert token.shim.calls == calls + 1


@isolated
def test_key_that_fails_alone_does_not_keep_the_token_in_recovery(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=1)
    # Three tries before the recovery and three after it, with the probe's signature, which works, between.
    token.shim.fail_with, token.shim.fail_times = CKR_FUNCTION_FAILED, 3
    first = submit(pool, key)
    assert isinstance(first.get(timeout=SOON_S), bytes)
    assert pool.snapshot().counts.tried(Rung.LOGIN) == 1


@isolated
def test_idle_sessions_sign_probes(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, _ = token.ready_pool(sessions=3, keep_alive_s=0.2)
    calls = token.shim.calls
    eventually(lambda: token.shim.calls >= calls + 9)
    token.shim.need_login = 1
    eventually(lambda: pool.snapshot().counts.tried(Rung.LOGIN) == 1)
    eventually(lambda: pool.problem is None)


@isolated
def test_removed_token_is_reported_and_found_again(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(turn_s=20.0)
    token.shim.removed = 1
    answer = submit(pool, key)
    eventually(lambda: pool.problem is not None and "0 tokens" in pool.problem)
    assert pool.snapshot().condition is Condition.RECOVERING
    token.shim.removed = 0
    assert isinstance(answer.get(timeout=SOON_S), bytes)


@isolated
def test_changed_pin_is_tried_once_until_its_source_gives_another(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(turn_s=20.0)
    logins = token.shim.logins
    token.pin_file.write_text("not the PIN")
    token.shim.need_login = 1
    answer = submit(pool, key)
    eventually(lambda: pool.snapshot().condition is Condition.REFUSED)
    time.sleep(3)
    assert token.shim.logins == logins + 1
    assert "not tried again" in str(pool.problem)
    assert "not the PIN" not in str(pool.problem)
    token.pin_file.write_text(PIN)
    assert isinstance(answer.get(timeout=SOON_S), bytes)
    assert not token.restarts


@isolated
def test_token_without_a_key_on_record_is_refused(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool()
    token.restore_backup()
    token.shim.need_initialize = 1
    answer = submit(pool, key)
    eventually(lambda: pool.snapshot().condition is Condition.REFUSED)
    assert "does not hold the CA key" in str(pool.problem)
    assert isinstance(answer.get(timeout=SOON_S), NoTurn)
    assert not token.restarts


@isolated
def test_another_key_under_the_label_is_refused(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    module = load_module(token.shim.module)
    opened = Token.open(module, LABEL, Pin(PIN))
    record = next(record for record in opened.keys() if record.label == "ca")  # noqa: SIM118
    pool = token.pool()
    pool.private_key(record.public_key, "the CA key")
    token.restore_backup()
    module.reinitialise()
    opened = Token.open(module, LABEL, Pin(PIN))
    opened.generate("ca", Algorithm.ECDSA_P256)
    opened.abandon()
    pool.start()
    assert not pool.wait_ready(SOON_S)
    assert pool.snapshot().condition is Condition.REFUSED
    assert "it holds 2 keys: ca, probe" in str(pool.problem)


@isolated
def test_duplicate_label_is_refused(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    _tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "ca", "--id", "aa")
    pool = token.pool()
    pool.start()
    assert not pool.wait_ready(SOON_S)
    assert pool.snapshot().condition is Condition.REFUSED
    assert "'ca'" in str(pool.problem)
    assert "relabel" in str(pool.problem)


@isolated
def test_key_for_two_purposes_is_refused(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool()
    with pytest.raises(HsmError, match="key purposes never mix"):
        pool.private_key(key.public_key(), "the ledger key")


@isolated
def test_token_directory_that_vanishes_and_returns(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(turn_s=20.0, keep_alive_s=0.2)
    place = tmp_path / "token" / "tokens"
    shutil.move(place, tmp_path / "elsewhere")
    place.mkdir()
    # SoftHSM goes on with what it has in memory until it is asked to begin anew.
    token.shim.need_initialize = 1
    eventually(lambda: pool.problem is not None and "0 tokens" in pool.problem)
    answer = submit(pool, key)
    place.rmdir()
    shutil.move(tmp_path / "elsewhere", place)
    assert isinstance(answer.get(timeout=SOON_S), bytes)


@isolated
def test_pool_that_stops_answers_everything(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=1)
    token.shim.hang = 1
    hanging = submit(pool, key)
    eventually(lambda: token.shim.in_flight == 1)
    waiting = [submit(pool, key) for _ in range(5)]
    pool.stop()
    assert isinstance(hanging.get(timeout=SOON_S), TokenOverran)
    assert all(isinstance(answer.get(timeout=SOON_S), NoTurn) for answer in waiting)
    assert isinstance(submit(pool, key).get(timeout=SOON_S), NoTurn)


@isolated
def test_job_that_must_not_be_repeated_is_done_once(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, _ = token.ready_pool()
    tries: list[object] = []

    def act(session: object) -> None:
        tries.append(session)
        raise SigningFailed("no", failure=Failure.DEVICE)

    with pytest.raises(SigningFailed):
        pool.call(act, call_s=5)
    assert len(tries) == 1
    eventually(lambda: pool.problem is None)
    assert pool.snapshot().counts.tried(Rung.LOGIN) == 1


def _tool(*arguments: str) -> None:
    login = ["--module", str(find_module()), "--token-label", LABEL, "--login", "--pin", PIN]
    subprocess.run(["pkcs11-tool", *login, *arguments], check=True, capture_output=True, timeout=30)
