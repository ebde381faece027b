"""A summary of to-be-signed bytes says what the strict decoder says, and refuses bytes that do not add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ssh.certificate import CertificateContent, CertificateType, decode_tbs, encode_tbs
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint, fingerprint_of_blob, parse_fingerprint
from appliance.ssh.summary import summarize_tbs
from support.ssh_examples import SUBJECT_NAMES, public_key

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.@", min_size=1, max_size=20).filter(
    lambda text: not text.startswith("-")
)
contents = st.builds(
    CertificateContent,
    nonce=st.binary(min_size=32, max_size=32),
    subject_key=st.sampled_from(SUBJECT_NAMES).map(public_key),
    serial=st.integers(1, 2**64 - 1),
    type=st.just(CertificateType.USER),
    key_id=words,
    principals=st.lists(words, min_size=1, max_size=8, unique=True).map(lambda each: tuple(sorted(each))),
    valid_after=st.integers(0, 2**32),
    valid_before=st.integers(2**32 + 1, 2**64 - 1),
    critical_options=st.sampled_from([(), (("force-command", "true"), ("source-address", "10.0.0.0/8"))]),
    extensions=st.sampled_from([(), (("permit-pty", ""), ("permit-user-rc", ""))]),
    ca_key=st.just(public_key("nistp256", 9)),
)


@given(contents)
def test_summary_is_what_the_strict_decoder_reads(content: CertificateContent) -> None:
    tbs = encode_tbs(content)
    summary, decoded = summarize_tbs(tbs), decode_tbs(tbs)
    assert summary.subject_key == decoded.subject_key.blob
    names = ("serial", "type", "key_id", "principals", "valid_after", "valid_before")
    for name in (*names, "critical_options", "extensions"):
        assert getattr(summary, name) == getattr(decoded, name), name


@given(contents, st.data())
def test_bytes_that_are_cut_off_or_go_on_are_refused(
    content: CertificateContent, data: st.DataObject
) -> None:
    tbs = encode_tbs(content)
    cut = data.draw(st.integers(0, len(tbs) - 1))
    for other in (tbs[:cut], tbs + b"\0"):
        with pytest.raises(SshFormatError):
            summarize_tbs(other)


@given(st.sampled_from(SUBJECT_NAMES))
def test_fingerprint_is_parsed_as_it_was_formatted(name: str) -> None:
    text = fingerprint(public_key(name))
    assert text == fingerprint_of_blob(public_key(name).blob)
    assert len(parse_fingerprint(text)) == 32


@pytest.mark.parametrize("text", ["", "SHA256:", "MD5:00", "SHA256:" + "A" * 42, "SHA256:" + "A" * 42 + "B"])
def test_fingerprint_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(SshFormatError):
        parse_fingerprint(text)
