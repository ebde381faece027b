"""Every key type that each real module offers: made on it, found again, signing what OpenSSH takes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.ssh.certificate import (
    attach_signature,
    encode_tbs,
    format_certificate_line,
    parse_certificate_blob,
)
from appliance.ssh.content import CertificateContent, CertificateType
from appliance.ssh.keys import from_cryptography
from appliance.ssh.signature import sign
from hsm.algorithm import Algorithm
from hsm.connection import Connection, Probe
from hsm.errors import KeyRefused, PinRefused, SigningFailed
from hsm.keys import PrivateKey
from hsm.pin import Pin
from hsm.pool import Limits, Pool
from support.isolated import isolated
from support.modules import MODULES, PIN
from support.ssh_examples import public_key
from support.tokens import MESSAGE, SOON_S, eventually, submit

P256 = Algorithm.ECDSA_P256
# What each must offer at least. Newer releases offer more, which is tested too.
OFFERED = {
    "softhsm": set(Algorithm),
    "nss": {P256, Algorithm.ECDSA_P384, Algorithm.ECDSA_P521, Algorithm.RSA_3072, Algorithm.RSA_4096},
    "tpm": {P256, Algorithm.ECDSA_P384, Algorithm.RSA_3072},
}
# tpm2-pkcs11 1.9 makes such a key and cannot read it back to sign with it; NSS 3.110 does not tell the length
# of an EdDSA signature, which the binding asks for first.
BROKEN = {("tpm", Algorithm.ECDSA_P521), ("nss", Algorithm.ED25519)}
every_module = pytest.mark.parametrize("module", list(MODULES))


def certify(key: PrivateKey) -> str:
    """Return the line of a certificate by ``key``."""
    content = CertificateContent(
        nonce=bytes(32),
        subject_key=public_key("ed25519", 3),
        serial=1,
        type=CertificateType.USER,
        key_id="alice",
        principals=("deploy",),
        valid_after=0,
        valid_before=2**40,
        ca_key=from_cryptography(key.public_key()),
    )
    tbs = encode_tbs(content)
    return format_certificate_line(parse_certificate_blob(attach_signature(tbs, sign(key, tbs))))


@every_module
@isolated
def test_every_key_type_signs_certificates_that_openssh_takes(tmp_path: Path, module: str) -> None:
    with MODULES[module](tmp_path) as real:
        source = real.source()
        token = source.open(source.load(), Pin(PIN))
        assert token.algorithms >= OFFERED[module]
        made = {}
        for algorithm in token.algorithms:
            try:
                made[algorithm] = token.generate(f"ca-{algorithm}", algorithm)
            except SigningFailed:
                assert (module, algorithm) in BROKEN
        token.abandon()
        token = source.open(source.load(), Pin(PIN))
        assert {record.label for record in token.keys()} >= {f"ca-{algorithm}" for algorithm in made}  # noqa: SIM118
        for algorithm, new in made.items():
            line = certify(token.private_key(new.record.public_key))
            (tmp_path / "cert.pub").write_text(f"{line}\n")
            # It verifies the signature when it reads a certificate, and refuses one that is not good.
            listed = subprocess.run(
                ["ssh-keygen", "-L", "-f", tmp_path / "cert.pub"], check=True, capture_output=True, text=True
            )
            assert "user certificate" in listed.stdout
            assert f"algorithm: {algorithm}" in new.transcript
            assert (new.attestation is not None) == (module == "tpm"), "the only one that has something"
            assert "PIN" not in new.transcript


@every_module
@isolated
def test_what_the_token_cannot_do_as_it_should_is_tolerated_by_name_only(tmp_path: Path, module: str) -> None:
    with MODULES[module](tmp_path) as real:
        source = real.source()
        loaded = source.load()
        token = source.open(loaded, Pin(PIN))
        token.generate("ca", P256)
        token.abandon()
        strict = type(token).open(loaded, real.label, Pin(PIN))
        if real.tolerated:
            with pytest.raises(KeyRefused, match=real.tolerated[0]):
                strict.keys()
        else:
            assert len(strict.keys()) == 1


@every_module
@isolated
def test_pool_heals_when_sessions_die_and_when_the_module_forgets_everything(
    tmp_path: Path, module: str
) -> None:
    with MODULES[module](tmp_path) as real:
        source = real.source()
        loaded = source.load()
        token = source.open(loaded, Pin(PIN))
        probe, ca = (token.generate(label, P256).record.public_key for label in ("probe", "ca"))
        token.abandon()
        connection = Connection(source, Probe(public_key=probe, message=lambda: b"a probe"))
        pool = Pool(connection, Limits(sessions=2))
        key = pool.private_key(ca, "the CA key")
        pool.start()
        assert pool.wait_ready(SOON_S), pool.problem
        assert pool.token is not None
        disturbances: list[Callable[[], None]] = [pool.token.abandon, loaded.reinitialise]
        for disturb in disturbances:
            assert isinstance(submit(pool, key).get(timeout=SOON_S), bytes)
            eventually(lambda: pool.snapshot().busy == 0)
            disturb()
            assert isinstance(submit(pool, key).get(timeout=SOON_S), bytes), pool.problem
        assert pool.snapshot().counts.last_trouble is not None
        pool.stop()


@every_module
@isolated
def test_wrong_pin_is_refused_as_one(tmp_path: Path, module: str) -> None:
    with MODULES[module](tmp_path) as real:
        source = real.source()
        with pytest.raises(PinRefused, match="not this token's PIN") as caught:
            source.open(source.load(), Pin("not-the-pin-of-it"))
        assert "not-the-pin-of-it" not in str(caught.value)
        token = source.open(source.load(), Pin(PIN))
        new = token.generate("ca", P256)
        assert sign(token.private_key(new.record.public_key), MESSAGE)
