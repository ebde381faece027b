"""The user PIN of a token, and the three places it may come from. Never an argument or a variable."""

from __future__ import annotations

import getpass
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from hsm.errors import PinRefused

# PKCS#11 sets no limit; SoftHSM's is 255, and no token in the field takes more.
MAX_PIN: Final = 255

_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class Pin:
    """A PIN that shows itself only when asked to: not by ``repr``, ``str``, formatting or pickling."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not 0 < len(text.encode("utf-8", "replace")) <= MAX_PIN or not text.isprintable():
            raise PinRefused(f"expected a PIN of 1 to {MAX_PIN} bytes of printable text on one line")
        self._text = text

    def reveal(self) -> str:
        """Return the PIN itself, for the call to the token and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Pin(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PIN is not pickled: it would lie in the clear wherever the pickle goes")


def pin_from_file(path: Path) -> Pin:
    """Read a PIN from a file of one line, the line feed at its end optional.

    Raises:
        PinRefused: no regular file, a symbolic link, someone else's, open to group or others, or no PIN.
    """
    return _read(path, group_read=False)


def pin_from_credential(directory: Path, name: str) -> Pin:
    """Read a PIN that systemd handed over; ``directory`` is what ``$CREDENTIALS_DIRECTORY`` says.

    systemd keeps the file root's and lets the service's user in by an access control list where the file
    system has them. The list's mask then shows as read permission of the group, so that is let pass here.

    Raises:
        PinRefused: as :func:`pin_from_file`, or ``name`` is not a plain file name.
    """
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise PinRefused(
            f"got {name!r} as a credential's name, expected letters, digits, dot, dash, underscore"
        )
    return _read(directory / name, group_read=True)


def pin_from_prompt(prompt: str = "PIN: ", *, ask: Callable[[str], str] = getpass.getpass) -> Pin:
    """Ask for a PIN on the terminal, unseen.

    Raises:
        PinRefused: there is no terminal that can hide what is typed, or nothing usable was typed.
    """
    with warnings.catch_warnings():
        # getpass would go on and echo.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return Pin(ask(prompt))
        except (getpass.GetPassWarning, EOFError, OSError) as error:
            raise PinRefused("no terminal to ask for the PIN on; put it in a file of mode 0600") from error


def _read(path: Path, *, group_read: bool) -> Pin:
    try:
        # Without O_NONBLOCK a FIFO in the file's place would hold us up before we can see that it is one.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PinRefused(f"PIN file {path}: {error.strerror}") from error
    try:
        _check_file(path, os.fstat(fd), group_read=group_read)
        content = os.read(fd, MAX_PIN + 2)
    finally:
        os.close(fd)
    try:
        return Pin(content.removesuffix(b"\n").decode("utf-8"))
    except UnicodeDecodeError:  # whose text quotes the bytes, hence no cause
        raise PinRefused(f"PIN file {path}: expected UTF-8") from None
    except PinRefused as error:
        raise PinRefused(f"PIN file {path}: {error}") from None


def _check_file(path: Path, found: os.stat_result, *, group_read: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PinRefused(f"PIN file {path}: not a regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise PinRefused(
            f"PIN file {path}: owned by uid {found.st_uid}, expected root or {os.geteuid()}; chown it"
        )
    forbidden = 0o037 if group_read and found.st_uid == 0 else 0o077
    if found.st_mode & forbidden:
        raise PinRefused(
            f"PIN file {path}: mode {stat.S_IMODE(found.st_mode):04o} lets others in; chmod 0600 it"
        )
