"""Sets of serials as a KRL holds them: ranges of serials, cut into the sections that take the fewest bytes.

PROTOCOL.krl §2.1 to §2.3 has three ways to write serials. A list has 8 bytes for each, a section of one range
16, a bitmap one bit for each serial from its first to its last. ``ssh-keygen -k`` decides between them range
by range, with a look at the next gap; here all ranges are weighed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, pairwise
from typing import Final, NamedTuple

MAX_SERIAL: Final = 2**64 - 1

# OpenSSH reads no mpint of more bits (SSHBUF_MAX_BIGNUM). It does write such bitmaps, and sshd, which cannot
# read the KRL that they are in, then refuses everyone.
MAX_BITMAP: Final = 16_384

# In bytes: a section's type and length; what a list has for each serial; a range; a bitmap's first serial,
# the length of its mpint, and the byte for its sign.
_SECTION: Final = 5
_SERIAL: Final = 8
_RANGE: Final = _SECTION + 16
_BITMAP: Final = _SECTION + 8 + 4 + 1
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


def range_serials(serials: Iterable[int]) -> tuple[Range, ...]:
    """Return these serials in as few ranges as there can be: as :func:`merge_ranges`, and faster.

    Raises:
        ValueError: one is none.
    """
    ordered = sorted(set(serials))
    if not ordered:
        return ()
    if not 0 < ordered[0] <= ordered[-1] <= MAX_SERIAL:
        raise ValueError(f"got {ordered[0]} to {ordered[-1]}, expected serials from 1 to 2^64 - 1")
    gaps = [(last, first) for last, first in pairwise(ordered) if first != last + 1]
    firsts = chain(ordered[:1], (first for _, first in gaps))
    lasts = chain((last for last, _ in gaps), ordered[-1:])
    return tuple(map(Range, firsts, lasts))


def are_merged(ranges: Sequence[Range]) -> bool:
    """Say whether these are what :func:`merge_ranges` returns."""
    apart = all(last + 1 < first for (_, last), (first, _) in pairwise(ranges))
    return apart and all(0 < first <= last <= MAX_SERIAL for first, last in ranges)


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


# By the form, whether a list is begun, and whether a bitmap is: made once, since a long list needs many.
_STEPS: Final = {
    best: tuple(
        tuple(
            _Step(best, (*([Form.LIST] * in_list), Form.RANGE, *([Form.BITMAP] * in_bitmap)))
            for in_bitmap in (False, True)
        )
        for in_list in (False, True)
    )
    for best in Form
}


def _weigh(ranges: Sequence[Range]) -> Iterator[_Step]:
    """Yield for each range what the cheapest ways up to it are.

    Of two bitmaps that cost the same, the one that fills less of its last byte goes on; of two that do not,
    the cheaper one, since the other's room in that byte is worth a byte at most.
    """
    of_list, of_range, of_bitmap = (_STEPS[form] for form in Form)
    in_list = before_bitmap = _NEVER
    cheapest = bits = last = 0
    for first, end in ranges:
        count = end - first + 1
        new_list = cheapest + _SECTION + _SERIAL * count
        longer_list = in_list + _SERIAL * count
        in_range = cheapest + _RANGE
        new_before = cheapest + _BITMAP if count <= MAX_BITMAP else _NEVER
        new_bitmap = new_before + (count >> 3)
        longer_bits = bits + end - last
        longer_bitmap = before_bitmap + (longer_bits >> 3) if longer_bits <= MAX_BITMAP else _NEVER
        in_list = min(new_list, longer_list)
        begins = (new_bitmap, count & 7) < (longer_bitmap, longer_bits & 7)
        if begins:
            in_bitmap, before_bitmap, bits = new_bitmap, new_before, count
        else:
            in_bitmap, bits = longer_bitmap, longer_bits
        cheapest = min(in_list, in_range, in_bitmap)
        steps = of_bitmap if cheapest == in_bitmap else of_list if cheapest == in_list else of_range
        yield steps[new_list < longer_list][begins]
        last = end
