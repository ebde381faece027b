"""Any set of serials comes back from its KRL, written in no more bytes than any other way of cutting it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ssh.errors import SshFormatError
from appliance.ssh.krl import Krl, RevokedCertificates, decode_krl, encode_krl
from appliance.ssh.serials import MAX_BITMAP, Form, Range, cut_sections, merge_ranges
from support.ssh_examples import public_key

CA = public_key("ed25519", 1)


@st.composite
def serial_ranges(draw: st.DrawFn) -> tuple[Range, ...]:
    gaps = st.integers(1, 300) | st.integers(1, 2 * MAX_BITMAP) | st.integers(1, 2**40)
    counts = st.integers(1, 3) | st.integers(1, 400) | st.integers(1, 2**20)
    at, found = draw(st.integers(1, 2**62)), []
    for gap, count in draw(st.lists(st.tuples(gaps, counts), max_size=12)):
        at += gap + 1
        found.append(Range(at, at + count - 1))
        at += count
    return merge_ranges(found)


def size(form: Form, ranges: Sequence[Range]) -> int | None:
    """Return the bytes of a section (PROTOCOL.krl), or None if these ranges have no such section."""
    span = ranges[-1].last - ranges[0].first + 1
    match form:
        case Form.LIST:
            return 5 + 8 * sum(last - first + 1 for first, last in ranges)
        case Form.RANGE:
            return 5 + 16 if len(ranges) == 1 else None
        case Form.BITMAP:
            return 5 + 8 + 4 + span // 8 + 1 if span <= MAX_BITMAP else None


def fewest(ranges: Sequence[Range]) -> int:
    """Return the bytes of the best way to cut ranges, by looking at all of them."""
    best = [0]
    for end in range(1, len(ranges) + 1):
        costs = [
            best[start] + cost
            for start in range(end)
            for form in Form
            if (cost := size(form, ranges[start:end])) is not None
        ]
        best.append(min(costs))
    return best[-1]


@given(serial_ranges())
def test_ranges_are_cut_into_sections_of_the_fewest_bytes(ranges: tuple[Range, ...]) -> None:
    sections = list(cut_sections(ranges))
    assert tuple(each for section in sections for each in section.ranges) == ranges
    sizes = [size(section.form, section.ranges) for section in sections]
    assert None not in sizes
    assert sum(filter(None, sizes)) == fewest(ranges)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 2**64 - 1) | st.integers(2**48, 2**48 + 5_000), max_size=60),
    st.sets(st.binary(min_size=32, max_size=32), max_size=4),
)
def test_any_krl_comes_back_from_its_bytes(serials: list[int], digests: set[bytes]) -> None:
    ranges = merge_ranges((serial, serial) for serial in serials)
    certificates = (RevokedCertificates(ca_key=CA, ranges=ranges),) if ranges else ()
    krl = Krl(
        version=2**63,
        generated_s=5,
        comment="ä",
        certificates=certificates,
        key_digests=tuple(sorted(digests)),
    )
    assert decode_krl(encode_krl(krl)) == krl
    assert all(krl.revokes(CA, serial) for serial in serials)


@given(st.data())
def test_krl_with_any_byte_changed_is_refused_or_another(data: st.DataObject) -> None:
    ranges = merge_ranges([(1, 1), (3, 90), (200, 200), (2**40, 2**41)])
    krl = Krl(version=1, generated_s=5, certificates=(RevokedCertificates(ca_key=CA, ranges=ranges),))
    blob = bytearray(encode_krl(krl))
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= data.draw(st.integers(1, 255))
    try:
        assert decode_krl(bytes(blob)) != krl
    except SshFormatError:
        return
