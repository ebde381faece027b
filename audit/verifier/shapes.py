"""Shapes: small checks of JSON values, and the combinators that build larger ones from them.

A shape is a function that returns when the value fits and raises :class:`MismatchError` when it does not.
It checks form alone: that a signature is base64, never whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from .canonical import MAX_INTEGER, JsonValue
from .errors import MalformedError
from .note import parse_base64, parse_vkey

Shape = Callable[[JsonValue], None]


class MismatchError(MalformedError):
    """A value does not fit its shape; the path of names that leads to it grows on the way out."""

    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(f"{path or 'data'}: expected {expected}")
        self.expected = expected
        self.path = path

    def below(self, step: str) -> MismatchError:
        """Return the same mismatch, seen from one level further out."""
        return MismatchError(self.expected, step + ("." + self.path if self.path else ""))


def text(value: JsonValue) -> None:
    """Accept any string."""
    if type(value) is not str:
        raise MismatchError("a string")


def text_up_to(limit: int) -> Shape:
    """Accept a string of at most ``limit`` bytes in UTF-8."""

    def check(value: JsonValue) -> None:
        if type(value) is not str or len(value.encode()) > limit:
            raise MismatchError(f"a string of at most {limit} bytes")

    return check


def flag(value: JsonValue) -> None:
    """Accept true and false."""
    if type(value) is not bool:
        raise MismatchError("true or false")


def integer(low: int = 0, high: int = MAX_INTEGER) -> Shape:
    """Accept an integer from ``low`` to ``high``; a boolean is none."""

    def check(value: JsonValue) -> None:
        if type(value) is not int or not low <= value <= high:
            raise MismatchError(f"an integer from {low} to {high}")

    return check


def matching(pattern: str, what: str) -> Shape:
    """Accept a string that ``pattern`` matches from end to end."""
    matches = re.compile(pattern).fullmatch

    def check(value: JsonValue) -> None:
        if type(value) is not str or matches(value) is None:
            raise MismatchError(what)

    return check


def one_of(*choices: str) -> Shape:
    """Accept one of a few strings."""
    return matching("|".join(map(re.escape, choices)), "one of " + ", ".join(choices))


def base64(size: int | None = None) -> Shape:
    """Accept standard padded base64, of ``size`` bytes if that is given and of at least one if not."""

    def check(value: JsonValue) -> None:
        try:
            octets = parse_base64(value) if type(value) is str else b""
        except MalformedError as error:
            raise MismatchError("standard padded base64") from error
        if len(octets) != size if size is not None else not octets:
            raise MismatchError(f"base64 of {size or 'one or more'} bytes")

    return check


def vkey(value: JsonValue) -> None:
    """Accept a verifier key of a signed note."""
    try:
        parse_vkey(value if type(value) is str else "")
    except MalformedError as error:
        raise MismatchError("a verifier key: name+8 hex digits+base64") from error


def either(*shapes: Shape) -> Shape:
    """Accept whatever fits one of ``shapes``."""

    def check(value: JsonValue) -> None:
        complaints = []
        for shape in shapes:
            try:
                return shape(value)
            except MismatchError as error:
                complaints.append(error.expected)
        raise MismatchError(" or ".join(complaints))

    return check


def list_of(shape: Shape, *, least: int = 0) -> Shape:
    """Accept an array of at least ``least`` items that each fit ``shape``, in any order."""

    def check(value: JsonValue) -> None:
        if not isinstance(value, list) or len(value) < least:
            raise MismatchError(f"an array of at least {least} items")
        for index, item in enumerate(value):
            try:
                shape(item)
            except MismatchError as error:
                raise error.below(str(index)) from None

    return check


def set_of(shape: Shape, *, by: Sequence[str] = (), least: int = 0) -> Shape:
    """Accept an array that means a set: sorted, without duplicates; objects by their members ``by``.

    Strings compare by code point, which is the order of their UTF-8 bytes.
    """
    each = list_of(shape, least=least)

    def check(value: JsonValue) -> None:
        each(value)
        if not isinstance(value, list) or len(value) < 2:
            return
        keys = [_sort_key(item, by) for item in value]
        if any(first >= second for first, second in pairwise(keys)):
            raise MismatchError("a sorted array without duplicates" + (" by " + ", ".join(by) if by else ""))

    return check


def _sort_key(item: JsonValue, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(item[name]) for name in by) if isinstance(item, dict) else (str(item),)


def object_with(**required: Shape) -> Shape:
    """Accept an object that has at least these members; the others are not judged."""

    def check(value: JsonValue) -> None:
        if not isinstance(value, dict) or not required.keys() <= value.keys():
            raise MismatchError(" with a member ".join(("an object", *required)))
        for name, shape in required.items():
            try:
                shape(value[name])
            except MismatchError as error:
                raise error.below(name) from None

    return check


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """Accept an object with exactly these members; an optional one is absent rather than empty."""
    options: Final = dict(optional or {})
    shapes: Final = {**required, **options}
    needed: Final = frozenset(required)

    def check(value: JsonValue) -> None:
        if not isinstance(value, dict):
            raise MismatchError("an object")
        if not needed <= value.keys():
            raise MismatchError("a member " + min(needed - value.keys()))
        for name, member in value.items():
            try:
                _check_member(name, member)
            except MismatchError as error:
                raise error.below(name) from None

    def _check_member(name: str, member: JsonValue) -> None:
        shape = shapes.get(name)
        if shape is None:
            raise MismatchError("no member of this name")
        if name in options and member in ("", [], {}):
            raise MismatchError("no empty optional member: absent means absent")
        shape(member)

    return check


def with_one_of(shape: Shape, *groups: Sequence[str]) -> Shape:
    """Accept an object of ``shape`` with all members of one of ``groups`` and none of the others'."""
    names: Final = frozenset(name for group in groups for name in group)
    choices: Final = [frozenset(group) for group in groups]

    def check(value: JsonValue) -> None:
        shape(value)
        if not isinstance(value, dict) or names & value.keys() not in choices:
            raise MismatchError("exactly one of " + ", ".join("+".join(group) for group in groups))

    return check
