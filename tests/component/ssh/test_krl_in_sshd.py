"""A KRL of a hundred thousand serials, as the authority makes it, in a real sshd and in ``ssh-keygen -Q``."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.authority.publishing.krl import CaSerials, KrlView, make_krl
from appliance.ssh.certificate import Certificate, encode_tbs, format_certificate_line
from appliance.ssh.keys import fingerprint, format_public_key_line
from appliance.ssh.signature import sign
from support.ssh_examples import certificate_content, private_key, public_key
from support.ssh_keygen import ssh_keygen
from support.sshd import running_sshd

BASE: Final = 1 << 48
COUNT: Final = 100_000
NOW_S: Final = 1_764_000_000
CA: Final = public_key("nistp256", 9)
KEY: Final = public_key("ed25519", 3)


def view(seqs: frozenset[int]) -> KrlView:
    return KrlView(
        ca="users",
        ca_key=fingerprint(CA),
        origin="ca.example.org/log/1",
        log_number=1,
        size=10**7,
        now_s=NOW_S,
        changes=1,
        certificates=(CaSerials(ca_key=CA, seqs=seqs, ranges=()),) if seqs else (),
        keys=frozenset(),
    )


def certify(path: Path, seq: int) -> None:
    """Write root's certificate with this serial."""
    content = certificate_content(
        serial=BASE | seq,
        ca_key=CA,
        subject_key=KEY,
        principals=("root",),
        valid_after=0,
        valid_before=2**63,
        critical_options=(),
    )
    tbs = encode_tbs(content)
    signature = sign(private_key("nistp256", 9), tbs)
    certificate = Certificate(content=content, tbs=tbs, signature=signature)
    path.write_text(format_certificate_line(certificate) + "\n")


def test_sshd_refuses_what_a_krl_of_a_hundred_thousand_serials_names_and_nothing_else(
    tmp_path: Path,
) -> None:
    draw = random.Random(COUNT)
    seqs = frozenset(draw.sample(range(2, 10 * COUNT), COUNT))
    (tmp_path / "revoked_keys").write_bytes(make_krl(view(seqs)).krl)
    asked = [*draw.sample(sorted(seqs), 3), *draw.sample(sorted(set(range(2, 10 * COUNT)) - seqs), 3)]
    key = private_key("ed25519", 3).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (tmp_path / "id").write_bytes(key)
    (tmp_path / "id").chmod(0o600)
    (tmp_path / "cas").write_text(format_public_key_line(CA) + "\n")
    config = {
        "TrustedUserCAKeys": str(tmp_path / "cas"),
        "RevokedKeys": str(tmp_path / "revoked_keys"),
    }
    with running_sshd(tmp_path, config) as sshd:
        for seq in asked:
            certify(tmp_path / "id-cert.pub", seq)
            mark = sshd.mark()
            done = sshd.login("-i", str(tmp_path / "id"), "-oIdentitiesOnly=yes")
            assert (done.returncode == 0) is (seq not in seqs), done.stderr
            if seq in seqs:
                assert "revoked by file" in sshd.logged("revoked", since=mark)
    listed = ssh_keygen("-Q", "-l", "-f", tmp_path / "revoked_keys")
    assert f"# KRL version {BASE | 10**7}" in listed


def test_sshd_lets_everyone_in_whose_krl_is_empty(tmp_path: Path) -> None:
    """A host has a KRL before anything was ever revoked, and a file that cannot be read refuses everyone."""
    (tmp_path / "krl").write_bytes(make_krl(view(frozenset())).krl)
    certify(tmp_path / "id-cert.pub", 5)
    done = subprocess.run(
        ["ssh-keygen", "-Q", "-f", tmp_path / "krl", tmp_path / "id-cert.pub"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_serial_in_every_part_of_a_krl_is_found_by_ssh_keygen(tmp_path: Path) -> None:
    """Lists, ranges and bitmaps beside each other, and of several CA keys."""
    draw = random.Random(1)
    near, far = draw.sample(range(2, 9_000), 2_000), draw.sample(range(10**6, 2**40), 300)
    seqs = frozenset({*near, *far, *range(20_000, 60_000)})
    mixed = replace(
        view(seqs), certificates=(*view(seqs).certificates, replace(view(seqs).certificates[0], ca_key=KEY))
    )
    (tmp_path / "krl").write_bytes(make_krl(mixed).krl)
    asked = [*near[:20], *far[:20], 20_000, 40_000, 59_999, 1, 9_001, 19_999, 60_000, 10**6 - 1, 2**40]
    paths = {}
    for seq in asked:
        paths[seq] = tmp_path / f"{seq}-cert.pub"
        certify(paths[seq], seq)
    command = ["ssh-keygen", "-Q", "-f", *map(str, (tmp_path / "krl", *paths.values()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    revoked = [line.endswith("REVOKED") for line in done.stdout.splitlines()]
    assert revoked == [seq in seqs for seq in asked]
