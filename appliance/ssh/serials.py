"""Sets of serials as a KRL holds them: ranges of serials, cut into the sections that take the fewest bytes.

PROTOCOL.krl §2.1 to §2.3 has three ways to write serials. A list has 8 bytes for each, a section of one range
16, a bitmap one bit for each serial from its first to its last. ``ssh-keygen -k`` decides between them range
by range, with a look at the next gap; here all ranges are weighed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

MAX_SERIAL: Final = 2**64 - 1

# OpenSSH reads no mpint of more bits (SSHBUF_MAX_BIGNUM). It does write such bitmaps, and sshd, which cannot
# read the KRL that they are in, then refuses everyone.
MAX_BITMAP: Final = 16_384

# In bytes: a section's type and length; what a list has for each serial; a range; a bitmap's first serial and
# the length of its mpint.
_SECTION: Final = 5
_SERIAL: Final = 8
_RANGE: Final = _SECTION + 16
_BITMAP: Final = _SECTION + 8 + 4
# More than anything costs.
_NEVER: Final = 2**80


class Range(NamedTuple):
    """Serials from ``first`` to ``last``, both included."""

    first: int
    last: int


class Form(IntEnum):
    """How a section says which serials: KRL_SECTION_CERT_SERIAL_…."""

    LIST = 0x20
    RANGE = 0x21
    BITMAP = 0x22


@dataclass(frozen=True, slots=True)
class Section:
    """Some ranges and the form in which they are written; one range if that is the form."""

    form: Form
    ranges: tuple[Range, ...]


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[Range, ...]:
    """Return the same serials in as few ranges as there can be, in their order.

    Raises:
        ValueError: a range is empty, or not of serials: 0 is none, for sshd ignores it in a KRL.
    """
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if not 0 < first <= last <= MAX_SERIAL:
            raise ValueError(f"got {first} to {last}, expected serials from 1 to 2^64 - 1")
        if merged and first <= merged[-1].last + 1:
            if last > merged[-1].last:
                merged[-1] = Range(merged[-1].first, last)
        else:
            merged.append(Range(first, last))
    return tuple(merged)


def cut_sections(ranges: Sequence[Range]) -> Iterator[Section]:
    """Cut merged ranges into the sections that take the fewest bytes together (Viterbi 1967).

    Of all ways to write the ranges up to one of them there are three to remember, by the form of the last
    section: with each goes on what a longer way begins with.
    """
    steps = list(_weigh(ranges))
    form = steps[-1].best if steps else Form.LIST
    end = len(ranges)
    sections = []
    for position in range(len(ranges) - 1, -1, -1):
        if form in steps[position].begun:
            sections.append(Section(form, tuple(ranges[position:end])))
            end = position
            form = steps[position - 1].best
    return reversed(sections)


class _Step(NamedTuple):
    """Of the ways up to a range: the form of the cheapest one's last section, and which begin one with it."""

    best: Form
    begun: tuple[Form, ...]


_BEGUN: Final = {
    (in_list, in_bitmap): (*([Form.LIST] * in_list), Form.RANGE, *([Form.BITMAP] * in_bitmap))
    for in_list in (False, True)
    for in_bitmap in (False, True)
}


def _weigh(ranges: Sequence[Range]) -> Iterator[_Step]:
    """Yield for each range what the cheapest ways up to it are.

    Of two bitmaps that cost the same, the one that fills less of its last byte goes on; of two that do not,
    the cheaper one, since the other's room in that byte is worth a byte at most.
    """
    in_list = in_bitmap = _NEVER
    cheapest = bits = last = 0
    for first, end in ranges:
        count = end - first + 1
        new_list = cheapest + _SECTION + _SERIAL * count
        longer_list = in_list + _SERIAL * count
        new_bitmap = cheapest + _BITMAP + _mpint_size(count) if count <= MAX_BITMAP else _NEVER
        longer_bits = bits + end - last
        longer_bitmap = (
            in_bitmap - _mpint_size(bits) + _mpint_size(longer_bits) if longer_bits <= MAX_BITMAP else _NEVER
        )
        in_range = cheapest + _RANGE
        in_list = min(new_list, longer_list)
        begins = (new_bitmap, count % 8) < (longer_bitmap, longer_bits % 8)
        in_bitmap, bits = (new_bitmap, count) if begins else (longer_bitmap, longer_bits)
        cheapest = min(in_list, in_range, in_bitmap)
        best = Form.BITMAP if cheapest == in_bitmap else Form.LIST if cheapest == in_list else Form.RANGE
        yield _Step(best, _BEGUN[new_list < longer_list, begins])
        last = end


def _mpint_size(bits: int) -> int:
    """Return the bytes of a positive mpint of so many bits: one more than full ones, for the sign."""
    return bits // 8 + 1
