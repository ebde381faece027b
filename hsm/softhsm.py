"""SoftHSM, a token in files: for first steps and tests. It protects keys by the PIN alone, and only on disk.

SoftHSM finds its configuration by ``SOFTHSM2_CONF`` in the environment of the process, once, when it is
initialised. Run as a program the module initialises one token, see :func:`create_token`.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from pkcs11 import PKCS11Error, Slot, TokenFlag

from hsm.errors import HsmError, ModuleUnavailable, TokenUnavailable, describe
from hsm.module import Module, load_module
from hsm.pin import Pin

# Debian's, its multiarch twin by any name, Fedora's, and a build from source.
_PLACES: Final = (
    "usr/lib/softhsm/libsofthsm2.so",
    "usr/lib/*/softhsm/libsofthsm2.so",
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/local/lib/softhsm/libsofthsm2.so",
)
_VARIABLE: Final = "SOFTHSM2_CONF"
_LABEL_BYTES: Final = 32  # CK_TOKEN_INFO, padded with blanks
_TIMEOUT_S: Final = 30


def find_module() -> Path:
    """Find SoftHSM's PKCS#11 module where distributions put it.

    Raises:
        ModuleUnavailable: it is not installed.
    """
    for place in _PLACES:
        for path in sorted(Path("/").glob(place)):
            return path
    raise ModuleUnavailable("SoftHSM is not installed; on Debian: apt install libsofthsm2")


def use_configuration(path: Path) -> None:
    """Make this process's SoftHSM read ``path``; only before its module is loaded."""
    # SoftHSM has no other way to be told, and it is C: the variable is set, not read.
    os.environ[_VARIABLE] = str(path)  # noqa: TID251


def create_token(directory: Path, label: str, *, pin: Pin, so_pin: Pin, module: Path | None = None) -> Path:
    """Initialise a token in ``directory``, made if need be, and return its softhsm2.conf.

    A child process does it, since a process that has loaded SoftHSM does not see what others add; it reads
    the PINs from a pipe. (``softhsm2-util`` takes them from its arguments, which every user of the machine
    can read, or from a terminal.) A crash between the two steps of the child leaves a token without a user
    PIN, which cannot be logged in to: remove the directory.

    Raises:
        TokenUnavailable: the label is too long, or taken in this directory, or SoftHSM fails.
        ModuleUnavailable: SoftHSM is not installed.
    """
    if not 0 < len(label.encode()) <= _LABEL_BYTES or not label.isprintable() or label != label.strip():
        raise TokenUnavailable(f"got the token label {label!r}, expected 1 to {_LABEL_BYTES} printable bytes")
    configuration = _write_configuration(directory)
    order = [str(module or find_module()), str(configuration), label, so_pin.reveal(), pin.reveal()]
    done = subprocess.run(
        [sys.executable, "-m", "hsm.softhsm"],
        input=json.dumps(order).encode(),
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise TokenUnavailable(
            f"SoftHSM token {label!r} was not made: {done.stderr.decode(errors='replace')}"
        )
    return configuration


def _write_configuration(directory: Path) -> Path:
    tokens = directory / "tokens"
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\n"
        "log.level = ERROR\nslots.removable = false\n"
    )
    return configuration


def _initialise(module: Module, label: str, so_pin: Pin, pin: Pin) -> None:
    slots = module.slots()
    if any(slot.get_token().label == label for slot in slots):
        raise TokenUnavailable("its label is taken in this directory")
    slot = next(slot for slot in slots if not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED)
    _init_token(module, slot, label, so_pin)
    with slot.get_token().open(rw=True, so_pin=so_pin.reveal()) as session:
        session.init_pin(pin.reveal())


def _init_token(module: Module, slot: Slot, label: str, so_pin: Pin) -> None:
    """Call C_InitToken (PKCS#11 v3.1 §5.5), which the library does not have; SoftHSM exports it."""
    secret = so_pin.reveal().encode()
    result = ctypes.CDLL(str(module.path)).C_InitToken(
        ctypes.c_ulong(slot.slot_id),
        secret,
        ctypes.c_ulong(len(secret)),
        label.encode().ljust(_LABEL_BYTES),
    )
    if result:
        raise TokenUnavailable(f"C_InitToken returned {result:#x}")


def _main() -> None:
    module, configuration, label, so_pin, pin = json.load(sys.stdin)
    use_configuration(Path(configuration))
    try:
        _initialise(load_module(Path(module)), label, Pin(so_pin), Pin(pin))
    except PKCS11Error as error:
        sys.exit(describe(error))
    except HsmError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
