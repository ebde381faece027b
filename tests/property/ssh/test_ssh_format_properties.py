"""What must hold for every certificate, key, line and signature, and for every byte that changes in one."""

from __future__ import annotations

from functools import cache
from typing import cast

import pytest
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ssh.certificate import (
    Certificate,
    CertificateContent,
    CertificateType,
    decode_tbs,
    encode_tbs,
    format_certificate_line,
    inspect_certificate_blob,
    parse_certificate_blob,
    parse_certificate_line,
    read_validity,
    verify_certificate,
)
from appliance.ssh.errors import BadSignature, SshFormatError
from appliance.ssh.keys import (
    PublicKey,
    format_public_key_line,
    from_cryptography,
    parse_public_key_blob,
    parse_public_key_line,
)
from appliance.ssh.options import EXTENSIONS, NO_TOUCH_REQUIRED
from appliance.ssh.signature import sign, verify
from appliance.ssh.sshsig import (
    build_sshsig,
    decode_sshsig,
    encode_sshsig,
    format_armored_sshsig,
    parse_armored_sshsig,
    verify_sshsig,
)
from appliance.ssh.wire import Reader, encode_mpint, encode_name_list
from support.ssh_examples import CA_NAMES, SK_NAMES, SUBJECT_NAMES, issue, private_key, public_key

# The first example with an RSA key makes that key, which may take longer than hypothesis thinks healthy.
unhurried = settings(deadline=None, max_examples=60)

visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
principal = st.text(visible, min_size=1, max_size=40).filter(
    lambda text: not text.startswith("-") and not set(text) & set(",#*?")
)
networks = st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}")
command = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=60)


@st.composite
def options(draw: st.DrawFn, *, is_sk: bool) -> tuple[tuple[str, str], ...]:
    values = {
        "force-command": st.just("") | command,
        "source-address": st.lists(networks, max_size=3).map(",".join),
        "verify-required": st.none() if not is_sk else st.none() | st.just("flag"),
    }
    drawn = {name: draw(strategy) for name, strategy in values.items()}
    return tuple((name, "" if value == "flag" else value) for name, value in drawn.items() if value)


@st.composite
def contents(draw: st.DrawFn, subjects: tuple[str, ...] = SUBJECT_NAMES) -> CertificateContent:
    subject_key = public_key(draw(st.sampled_from(subjects)), 2)
    kind = draw(st.sampled_from(CertificateType))
    extensions = [name for name in EXTENSIONS if subject_key.is_sk or name != NO_TOUCH_REQUIRED]
    valid = sorted(draw(st.sets(st.integers(0, 2**64 - 1), min_size=2, max_size=2)))
    user = kind is CertificateType.USER
    return CertificateContent(
        nonce=draw(st.binary(min_size=32, max_size=32)),
        subject_key=subject_key,
        serial=draw(st.integers(1, 2**64 - 1)),
        type=kind,
        key_id=draw(st.text(visible, min_size=1, max_size=200)),
        principals=tuple(sorted(draw(st.sets(principal, min_size=1, max_size=5)))),
        valid_after=valid[0],
        valid_before=valid[1],
        critical_options=draw(options(is_sk=subject_key.is_sk)) if user else (),
        extensions=tuple((name, "") for name in sorted(draw(st.sets(st.sampled_from(extensions)))) if user),
        ca_key=public_key(draw(st.sampled_from(CA_NAMES)), 1),
    )


def ca_of(content: CertificateContent) -> str:
    return next(name for name in CA_NAMES if public_key(name, 1) == content.ca_key)


def signed(content: CertificateContent) -> Certificate:
    tbs = encode_tbs(content)
    return Certificate(content=content, tbs=tbs, signature=sign(private_key(ca_of(content)), tbs))


@unhurried
@given(contents())
def test_any_content_comes_back_from_its_tbs(content: CertificateContent) -> None:
    assert decode_tbs(encode_tbs(content)) == content
    assert read_validity(encode_tbs(content)) == (content.valid_after, content.valid_before)


@unhurried
@given(contents(), st.text(st.characters(categories=("L", "N")), max_size=20))
def test_any_certificate_comes_back_from_its_line_and_verifies(
    content: CertificateContent, comment: str
) -> None:
    certificate = signed(content)
    verify_certificate(certificate)
    line = format_certificate_line(certificate, comment)
    assert parse_certificate_line(line) == certificate
    assert inspect_certificate_blob(certificate.blob) == certificate


@unhurried
@given(contents(tuple(name for name in SUBJECT_NAMES if name not in SK_NAMES)))
def test_any_certificate_is_read_by_cryptography_field_by_field(content: CertificateContent) -> None:
    certificate = signed(content)
    theirs = cast(SSHCertificate, load_ssh_public_identity(format_certificate_line(certificate).encode()))
    theirs.verify_cert_signature()
    assert theirs.nonce == content.nonce
    assert from_cryptography(theirs.public_key()) == content.subject_key
    assert theirs.serial == content.serial
    assert theirs.type.value == content.type.value
    assert theirs.key_id.decode() == content.key_id
    assert [each.decode() for each in theirs.valid_principals] == list(content.principals)
    assert (theirs.valid_after, theirs.valid_before) == (content.valid_after, content.valid_before)
    assert theirs.critical_options == {
        name.encode(): value.encode() for name, value in content.critical_options
    }
    assert theirs.extensions == {name.encode(): value.encode() for name, value in content.extensions}
    assert from_cryptography(theirs.signature_key()) == content.ca_key


@cache
def specimen(ca: str, subject: str) -> Certificate:
    return issue(
        private_key(ca),
        subject_key=public_key(subject, 2),
        critical_options=(("force-command", "uptime"), ("source-address", "10.8.0.0/16")),
    )


def check_mutation(original: Certificate, blob: bytes) -> bool:
    """Check that ``blob`` is refused, or is another certificate and does not verify; tell if it parsed."""
    try:
        mutated = parse_certificate_blob(blob)
    except SshFormatError:
        return False
    assert mutated != original
    assert (mutated.content == original.content) == (mutated.tbs == original.tbs)
    with pytest.raises(BadSignature):
        verify_certificate(mutated)
    return True


@pytest.mark.parametrize("bit", range(8))
def test_certificate_with_one_bit_flipped_anywhere_is_refused_or_does_not_verify(bit: int) -> None:
    original = specimen("ed25519", "ed25519")
    parsed = 0
    for position in range(len(original.blob)):
        blob = bytearray(original.blob)
        blob[position] ^= 1 << bit
        parsed += check_mutation(original, bytes(blob))
    # Nonce, both keys, serial and signature are 168 bytes that nothing but the signature guards.
    assert parsed >= 150


@unhurried
@given(st.sampled_from(CA_NAMES), st.sampled_from(SUBJECT_NAMES), st.data())
def test_certificate_with_any_byte_changed_is_refused_or_another_that_does_not_verify(
    ca: str, subject: str, data: st.DataObject
) -> None:
    original = specimen(ca, subject)
    blob = bytearray(original.blob)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    check_mutation(original, bytes(blob))


@unhurried
@given(st.sampled_from(SUBJECT_NAMES), st.data())
def test_tbs_with_any_byte_changed_is_refused_or_says_something_else(
    subject: str, data: st.DataObject
) -> None:
    original = specimen("nistp256", subject)
    tbs = bytearray(original.tbs)
    tbs[data.draw(st.integers(0, len(tbs) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        content = decode_tbs(bytes(tbs))
    except SshFormatError:
        return
    assert content != original.content
    assert encode_tbs(content, host_wildcards=True) == bytes(tbs)


def test_certificate_cut_off_anywhere_is_refused() -> None:
    certificate = specimen("ed25519", "nistp256")
    for length in range(len(certificate.blob)):
        with pytest.raises(SshFormatError):
            inspect_certificate_blob(certificate.blob[:length])


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_are_refused_as_a_format_error_and_nothing_else(raw: bytes, follow: bool) -> None:
    blob = specimen("ed25519", "ed25519").blob[:100] + raw if follow else raw
    for parse in (
        inspect_certificate_blob,
        parse_certificate_blob,
        decode_tbs,
        parse_public_key_blob,
        decode_sshsig,
    ):
        with pytest.raises(SshFormatError):
            parse(blob)
    with pytest.raises(BadSignature):
        verify(public_key("nistp256"), raw, b"data")


@given(st.text(max_size=100))
def test_arbitrary_text_is_refused_as_a_format_error_and_nothing_else(text: str) -> None:
    for parse in (parse_public_key_line, parse_certificate_line, parse_armored_sshsig):
        with pytest.raises(SshFormatError):
            parse(text)


@unhurried
@given(st.sampled_from(SUBJECT_NAMES), st.data())
def test_key_with_any_byte_changed_is_refused_or_another_key(name: str, data: st.DataObject) -> None:
    key = public_key(name)
    blob = bytearray(key.blob)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = parse_public_key_blob(bytes(blob))
    except SshFormatError:
        return
    assert other != key
    assert parse_public_key_line(format_public_key_line(other)) == PublicKey(
        type=other.type, blob=bytes(blob)
    )


@unhurried
@given(st.sampled_from(CA_NAMES), st.binary(max_size=200), st.text(visible, min_size=1, max_size=40))
def test_any_message_and_namespace_signed_comes_back_from_its_armored_text(
    name: str, message: bytes, namespace: str
) -> None:
    blob = build_sshsig(private_key(name), namespace, message)
    assert parse_armored_sshsig(format_armored_sshsig(blob)) == blob
    assert encode_sshsig(decode_sshsig(blob)) == blob
    result = verify_sshsig(blob, namespace=namespace, message=message, allowed_keys=[public_key(name)])
    assert result.key == public_key(name)


@cache
def sshsig_specimen(name: str) -> bytes:
    return build_sshsig(private_key(name), "order@chancery", b"message")


@unhurried
@given(st.sampled_from(CA_NAMES), st.data())
def test_sshsig_with_any_byte_changed_is_bad(name: str, data: st.DataObject) -> None:
    blob = bytearray(sshsig_specimen(name))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadSignature):
        verify_sshsig(
            bytes(blob), namespace="order@chancery", message=b"message", allowed_keys=[public_key(name)]
        )


@given(st.integers(-(2**600), 2**600))
def test_any_integer_comes_back_from_its_mpint(value: int) -> None:
    reader = Reader(encode_mpint(value))
    assert reader.mpint("n", 80) == value
    reader.finish("n")


@given(st.lists(st.text(visible.filter(lambda character: character != ","), min_size=1), max_size=5))
def test_any_names_come_back_from_their_name_list(names: list[str]) -> None:
    assert Reader(encode_name_list(names)).name_list("names", 10_000) == tuple(names)
