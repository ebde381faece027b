"""``ssh-keygen`` finds in our KRLs what is revoked, and nothing else; its own are no smaller."""

from __future__ import annotations

import hashlib
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.ssh.certificate import Certificate, encode_tbs, format_certificate_line
from appliance.ssh.keys import format_public_key_line
from appliance.ssh.krl import Krl, RevokedCertificates, encode_krl
from appliance.ssh.serials import Range, merge_ranges
from appliance.ssh.signature import sign
from support.ssh_examples import certificate_content, private_key, public_key
from support.ssh_keygen import ssh_keygen

BASE = 1 << 48
CA = public_key("ed25519", 9)
OTHER_CA = public_key("nistp256", 9)


def write_krl(path: Path, ranges: tuple[Range, ...], **more: object) -> None:
    revoked = (RevokedCertificates(ca_key=CA, ranges=ranges),) if ranges else ()
    krl = Krl(version=3, generated_s=1_764_000_000, comment="test", certificates=revoked)
    path.write_bytes(encode_krl(replace(krl, **more)))  # type: ignore[arg-type]


def write_certificate(directory: Path, serial: int, *, ca: str = "ed25519") -> Path:
    content = certificate_content(serial=serial, ca_key=public_key(ca, 9))
    tbs = encode_tbs(content)
    certificate = Certificate(content=content, tbs=tbs, signature=sign(private_key(ca, 9), tbs))
    path = directory / f"{ca}-{serial}-cert.pub"
    path.write_text(format_certificate_line(certificate) + "\n")
    return path


def ask(krl: Path, *paths: Path) -> dict[str, bool]:
    """Ask ``ssh-keygen -Q`` which of these are revoked."""
    command = ["ssh-keygen", "-Q", "-f", *map(str, (krl, *paths))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, 1}, done.stderr
    lines = [line.rpartition(": ") for line in done.stdout.splitlines()]
    return {place.partition(" (")[0]: verdict == "REVOKED" for place, _, verdict in lines}


@pytest.mark.parametrize(("spread", "count"), [(300, 120), (3_000, 150), (10**6, 100), (2**40, 60)], ids=str)
def test_certificates_with_random_serials_are_revoked_where_the_krl_says_so(
    tmp_path: Path, spread: int, count: int
) -> None:
    draw = random.Random(spread)
    serials = [BASE + draw.randrange(1, spread) for _ in range(2 * count)]
    revoked = set(serials[:count])
    edges = {serial + step for serial in list(revoked)[:20] for step in (-1, 1)}
    write_krl(tmp_path / "krl", merge_ranges((serial, serial) for serial in revoked))
    asked = {serial: write_certificate(tmp_path, serial) for serial in {*serials, *edges}}
    assert ask(tmp_path / "krl", *asked.values()) == {
        str(path): serial in revoked for serial, path in asked.items()
    }


def test_serials_of_another_ca_are_not_revoked(tmp_path: Path) -> None:
    write_krl(tmp_path / "krl", merge_ranges([(5, 9)]))
    path = write_certificate(tmp_path, 7, ca="nistp256")
    assert ask(tmp_path / "krl", path) == {str(path): False}


def test_revoked_key_revokes_its_certificates_too(tmp_path: Path) -> None:
    content = certificate_content()
    digest = hashlib.sha256(content.subject_key.blob).digest()
    write_krl(tmp_path / "krl", (), key_digests=(digest,))
    key = tmp_path / "key.pub"
    key.write_text(format_public_key_line(content.subject_key) + "\n")
    other = tmp_path / "other.pub"
    other.write_text(format_public_key_line(public_key("ed25519", 77)) + "\n")
    certificate = write_certificate(tmp_path, 7)
    found = ask(tmp_path / "krl", key, other, certificate)
    assert found == {str(key): True, str(other): False, str(certificate): True}


@pytest.mark.parametrize("spread", [20_000, 10**6, 10**8, 2**40])
def test_krl_is_no_larger_than_what_ssh_keygen_makes_of_the_same_serials(tmp_path: Path, spread: int) -> None:
    draw = random.Random(spread)
    firsts = [BASE + draw.randrange(1, spread) for _ in range(2_000)]
    ranges = merge_ranges((first, first + draw.randrange(3)) for first in firsts)
    write_krl(tmp_path / "ours", ranges, comment="")
    (tmp_path / "ca.pub").write_text(format_public_key_line(CA) + "\n")
    (tmp_path / "spec").write_text(
        "".join(f"serial: {first}{'' if first == last else f'-{last}'}\n" for first, last in ranges)
    )
    ssh_keygen("-k", "-f", tmp_path / "theirs", "-s", tmp_path / "ca.pub", "-z", "3", tmp_path / "spec")
    assert (tmp_path / "ours").stat().st_size <= (tmp_path / "theirs").stat().st_size


def test_krl_with_many_serials_close_together_can_be_read(tmp_path: Path) -> None:
    """OpenSSH 10 writes these as one bitmap, and cannot read what it has written."""
    ranges = merge_ranges((serial, serial) for serial in range(BASE + 1, BASE + 60_000, 2))
    write_krl(tmp_path / "ours", ranges)
    listed = ssh_keygen("-Q", "-l", "-f", tmp_path / "ours")
    assert listed.count("serial: ") == len(ranges)
