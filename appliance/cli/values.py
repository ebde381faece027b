"""What is typed on the command line, checked before anything is done with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from appliance.errors import ConfigError
from appliance.policy.names import check_name


class Checked(click.ParamType[str]):
    """Text that a function takes; its ValueError says what is wrong with it."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check a value; a wrong one is wrong usage."""
        try:
            return self._check(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def check_text(context: click.Context) -> None:
    """Check that all text that a command was given can be written down: no ledger and no index takes other.

    Raises:
        BadParameter: some is not UTF-8; names the option or the argument.
    """
    for param in context.command.params:
        given = context.params.get(param.name or "")
        texts = given if isinstance(given, tuple) else (given,)
        if any(isinstance(text, str) and not _is_utf8(text) for text in texts):
            raise click.BadParameter("is not UTF-8", context, param)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_serial(text: str) -> str:
    if re.fullmatch("[1-9][0-9]{0,19}", text) is None:
        raise ValueError(f"got {text[:40]!r}, expected a serial: digits, as `chancery cert list` shows them")
    return text


def read_text(path: Path) -> str:
    """Read a file of text.

    Raises:
        ConfigError: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error


SERIAL: Final = Checked("serial", _check_serial)
NAME: Final = Checked("name", check_name)
