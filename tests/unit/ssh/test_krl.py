"""KRLs byte by byte, and what is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.ssh.errors import SshFormatError
from appliance.ssh.krl import Krl, RevokedCertificates, decode_krl, encode_krl
from appliance.ssh.serials import MAX_BITMAP, Form, Range, cut_sections, merge_ranges
from appliance.ssh.wire import encode_string
from support.ssh_examples import public_key

CA = public_key("ed25519", 1)
BASE = 1 << 48


def krl(*ranges: tuple[int, int], **more: object) -> Krl:
    revoked = RevokedCertificates(ca_key=CA, ranges=merge_ranges(ranges))
    return replace(Krl(version=7, generated_s=1_764_000_000), certificates=(revoked,), **more)  # type: ignore[arg-type]


def test_krl_of_one_serial_has_the_bytes_of_the_specification() -> None:
    # Field by field after PROTOCOL.krl §1, §2 and §2.1.
    serial = (BASE + 5).to_bytes(8, "big")
    section = encode_string(CA.blob) + encode_string(b"") + b"\x20" + encode_string(serial)
    header = b"SSHKRL\n\0" + bytes.fromhex("0000000100000000000000070000000069248100")
    flags_reserved_comment = bytes(8) + bytes(4) + bytes(4)
    expected = header + flags_reserved_comment + b"\x01" + encode_string(section)
    assert encode_krl(krl((BASE + 5, BASE + 5))) == expected


def test_merged_ranges_neither_overlap_nor_touch() -> None:
    assert merge_ranges([(9, 9), (1, 3), (2, 5), (6, 6), (2**64 - 1, 2**64 - 1)]) == (
        Range(1, 6),
        Range(9, 9),
        Range(2**64 - 1, 2**64 - 1),
    )


@pytest.mark.parametrize("bad", [(0, 5), (5, 4), (1, 2**64)])
def test_what_is_no_range_of_serials_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected serials"):
        merge_ranges([bad])


@pytest.mark.parametrize(
    ("ranges", "forms"),
    [
        ([(1, 1)], [Form.LIST]),
        ([(1, 1), (1_000_000, 1_000_000)], [Form.LIST]),
        ([(1, 2**40)], [Form.RANGE]),
        ([(n, n) for n in range(1, 200, 2)], [Form.BITMAP]),
        ([(n, n) for n in range(1, 3 * MAX_BITMAP, 2)], [Form.BITMAP] * 3),
        ([(1, 2**40), (2**41, 2**41)], [Form.RANGE, Form.LIST]),
    ],
)
def test_serials_are_written_in_the_form_that_is_shortest(
    ranges: list[tuple[int, int]], forms: list[Form]
) -> None:
    assert [section.form for section in cut_sections(merge_ranges(ranges))] == forms


def test_krl_without_anything_revoked_comes_back() -> None:
    empty = Krl(version=1, generated_s=2, comment="nothing")
    assert decode_krl(encode_krl(empty)) == empty
    assert not list(cut_sections(()))


def test_revoked_serial_is_that_of_its_ca_alone() -> None:
    found = krl((5, 9))
    assert found.revokes(CA, 5)
    assert found.revokes(CA, 9)
    assert not found.revokes(CA, 10)
    assert not found.revokes(public_key("ed25519", 2), 5)


@pytest.mark.parametrize(
    "bad",
    [
        krl((1, 1), comment="two\nlines"),
        krl((1, 1), comment="x" * 256),
        krl((1, 1), key_digests=(b"\2" * 32, b"\1" * 32)),
        krl((1, 1), key_digests=(b"\1" * 31,)),
        Krl(version=1, generated_s=1, certificates=(RevokedCertificates(ca_key=CA, ranges=()),)),
        Krl(
            version=1,
            generated_s=1,
            certificates=(RevokedCertificates(ca_key=CA, ranges=(Range(1, 1), Range(2, 2))),),
        ),
    ],
)
def test_krl_that_says_a_thing_in_another_way_is_not_encoded(bad: Krl) -> None:
    with pytest.raises(SshFormatError):
        encode_krl(bad)


def test_krl_cut_off_inside_a_section_or_longer_is_refused() -> None:
    whole = krl((1, 40), (50, 50), (52, 52), key_digests=(b"\1" * 32,))
    blob = encode_krl(whole)
    # The format does not say how long a KRL is: it may end after any section. What vouches for all of it is a
    # signature over its hash.
    keyless = replace(whole, key_digests=())
    ends = {len(encode_krl(keyless)), len(encode_krl(replace(keyless, certificates=())))}
    for length in set(range(len(blob))) - ends:
        with pytest.raises(SshFormatError):
            decode_krl(blob[:length])
    with pytest.raises(SshFormatError):
        decode_krl(blob + b"\0")


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 255])
def test_section_that_chancery_does_not_write_is_refused(kind: int) -> None:
    with pytest.raises(SshFormatError, match="section"):
        decode_krl(encode_krl(krl((1, 1))) + bytes([kind]) + encode_string(b""))
