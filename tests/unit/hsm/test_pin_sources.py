"""Where a PIN may come from, and that it shows itself nowhere."""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path

import pytest

from hsm.errors import PinRefused
from hsm.pin import Pin, pin_from_credential, pin_from_file, pin_from_prompt

SECRET = "correct horse 4711"


def write(directory: Path, content: bytes = SECRET.encode() + b"\n", mode: int = 0o600) -> Path:
    path = directory / "pin"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [SECRET.encode(), SECRET.encode() + b"\n"])
def test_private_file_gives_the_pin(tmp_path: Path, content: bytes) -> None:
    assert pin_from_file(write(tmp_path, content)).reveal() == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o666])
def test_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PinRefused, match=f"mode {mode:04o}.*chmod 0600"):
        pin_from_file(write(tmp_path, mode=mode))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"two\nlines\n", SECRET.encode() + b"\r\n", b"\xff\xfe", b"a" * 300, b"tab\there"],
)
def test_file_that_holds_no_pin_is_refused_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PinRefused) as raised:
        pin_from_file(write(tmp_path, content))
    shown = "".join(traceback.format_exception(raised.value))
    assert "correct horse" not in shown
    assert "lines" not in shown.replace("splitlines", "")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "link").symlink_to(write(tmp_path))
    for name in ("fifo", "link", "absent", "."):
        with pytest.raises(PinRefused):
            pin_from_file(tmp_path / name)


def test_credential_of_systemd_may_be_readable_for_its_group(tmp_path: Path) -> None:
    write(tmp_path, mode=0o440)
    assert pin_from_credential(tmp_path, "pin").reveal() == SECRET
    for name in ("../pin", "", "a/b", ".hidden"):
        with pytest.raises(PinRefused):
            pin_from_credential(tmp_path, name)


def test_prompt_without_a_terminal_says_what_to_do() -> None:
    def fail(_prompt: str) -> str:
        raise EOFError

    with pytest.raises(PinRefused, match="put it in a file of mode 0600"):
        pin_from_prompt(ask=fail)
    assert pin_from_prompt(ask=lambda _prompt: SECRET).reveal() == SECRET


def test_pin_shows_itself_to_nobody() -> None:
    pin = Pin(SECRET)
    assert SECRET not in f"{pin} {pin!r} {[pin]}"
    with pytest.raises(TypeError):
        pickle.dumps(pin)
