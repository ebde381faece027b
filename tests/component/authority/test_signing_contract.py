"""What the cycle may expect of whoever signs: the token's pool, and the software that stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from appliance.authority.signing import NOT_HELD, Signed, Signing, SigningJob, Unsigned
from appliance.ssh.keys import PublicKey, fingerprint, from_cryptography
from appliance.ssh.signature import verify
from support.isolated import isolated
from support.software_signing import SoftwareSigning
from support.ssh_examples import private_key, public_key
from support.tokens import SOON_S, ShimmedToken

Submit = Callable[[SigningJob], None]
TBS = b"the to-be-signed bytes of an intent" * 10


def ask(submit: Submit, ca_key: str, tbs: bytes = TBS) -> SimpleQueue[Signed | Unsigned]:
    answers: SimpleQueue[Signed | Unsigned] = SimpleQueue()
    submit(SigningJob(tbs=tbs, ca_key=ca_key, caller="mtls:alice", done=answers.put))
    return answers


def check_contract(submit: Submit, key: PublicKey) -> None:
    """Every job is answered once; a signature is the CA's over these bytes; an unknown key signs nothing."""
    tbs = [bytes([number]) + TBS for number in range(40)]
    answers = [ask(submit, fingerprint(key), each) for each in tbs]
    for each, answer in zip(tbs, answers, strict=True):
        signed = answer.get(timeout=SOON_S)
        assert isinstance(signed, Signed)
        verify(key, signed.signature, each)
        assert answer.empty()
    unknown = ask(submit, fingerprint(public_key("ed25519", 99))).get(timeout=SOON_S)
    assert unknown == Unsigned(reason=NOT_HELD, requested=False)


def test_software_keeps_the_contract() -> None:
    key = public_key("nistp256", 11)
    signing = SoftwareSigning({fingerprint(key): private_key("nistp256", 11)})
    signing.start()
    check_contract(signing.submit, key)
    signing.stop()


@isolated
def test_pool_keeps_the_contract(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool()
    public = from_cryptography(key.public_key())
    signing = Signing(pool, {fingerprint(public): key})
    check_contract(signing.submit, public)


@isolated
def test_pool_says_what_became_of_a_job_that_was_not_signed(tmp_path: Path) -> None:
    token = ShimmedToken.make(tmp_path)
    pool, key = token.ready_pool(sessions=1, sign_s=0.3, turn_s=0.5)
    print_ = fingerprint(from_cryptography(key.public_key()))
    signing = Signing(pool, {print_: key})
    token.shim.corrupt_times = 1
    assert ask(signing.submit, print_).get(timeout=SOON_S) == Unsigned(reason="bad signature", halts=True)
    token.shim.hang = 1
    hanging, waiting = ask(signing.submit, print_), ask(signing.submit, print_)
    assert hanging.get(timeout=SOON_S) == Unsigned(reason="the token did not answer in time", abandoned=True)
    away = Unsigned(reason="the token was away, and was not asked", requested=False)
    assert waiting.get(timeout=SOON_S) == away
