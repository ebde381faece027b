"""A PKCS#11 module, initialised for threads. One per process, never across a fork; see ADR 0003."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Final

from pkcs11 import PKCS11Error, Slot, _pkcs11

from hsm.errors import ModuleUnavailable, describe

# PKCS#11 v3.1 §5.4 and its header pkcs11t.h.
_CKF_OS_LOCKING_OK: Final = 0x02
_CKR_OK: Final = 0x00
_CKR_CANT_LOCK: Final = 0x0A
_CKR_CRYPTOKI_ALREADY_INITIALIZED: Final = 0x191

_ADVICE: Final = {
    _CKR_CANT_LOCK: "it cannot be used from threads; a newer version may",
    _CKR_CRYPTOKI_ALREADY_INITIALIZED: "other code in this process initialised it, with unknown locks",
}


class _InitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (
        ("CreateMutex", ctypes.c_void_p),
        ("DestroyMutex", ctypes.c_void_p),
        ("LockMutex", ctypes.c_void_p),
        ("UnlockMutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("pReserved", ctypes.c_void_p),
    )


class _FunctionList(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST, whose first function is the one that is needed."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("C_Initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.POINTER(_InitializeArgs))),
    )


class _Library(_pkcs11.lib):  # type: ignore[misc, unused-ignore]
    """The library's module, with its C_Initialize(NULL) replaced.

    NULL promises the module that a single thread calls it, while the library gives up the GIL around
    C_Sign: with two threads SoftHSM 2.6.1 then crashes. The base class calls this method before all else,
    and it cannot pass arguments, so the module's own function list is called.
    """

    def initialize(self) -> None:
        shared_object = ctypes.CDLL(self.so)
        functions = ctypes.POINTER(_FunctionList)()
        result = shared_object.C_GetFunctionList(ctypes.byref(functions))
        if result == _CKR_OK:
            result = functions.contents.C_Initialize(_InitializeArgs(flags=_CKF_OS_LOCKING_OK))
        if result != _CKR_OK:
            advice = _ADVICE.get(result, "the module's own log and documentation say why")
            raise ModuleUnavailable(f"PKCS#11 module {self.so}: C_Initialize returned {result:#x}; {advice}")


class Module:
    """A loaded module; made by :func:`load_module` only. All attributes are the module's own words."""

    def __init__(self, path: Path) -> None:
        try:
            self._library = _Library(str(path))
        except (PKCS11Error, OSError) as error:
            raise ModuleUnavailable(
                f"PKCS#11 module {path} cannot be loaded; is it the right file, for this machine? {error}"
            ) from error
        self._pid = os.getpid()
        self.path = path
        self.manufacturer: str = self._library.manufacturer_id
        self.description: str = self._library.library_description
        self.version = "{}.{}".format(*self._library.library_version)

    def check_process(self) -> None:
        """Check that this is the process that initialised the module (PKCS#11 v3.1 §5.4, on fork).

        Raises:
            ModuleUnavailable: it is a forked child.
        """
        if os.getpid() != self._pid:
            raise ModuleUnavailable(
                f"PKCS#11 module {self.path.name} was loaded by process {self._pid} and does not survive the "
                f"fork to {os.getpid()}; load it after forking"
            )

    def slots(self) -> list[Slot]:
        """Return the slots with a token in them.

        Raises:
            ModuleUnavailable: a forked child, or the module cannot tell.
        """
        self.check_process()
        try:
            return list(self._library.get_slots(token_present=True))
        except PKCS11Error as error:
            raise ModuleUnavailable(f"{self.path.name}: no list of slots: {describe(error)}") from error


_lock = threading.Lock()
_loaded: list[Module] = []


def load_module(path: Path) -> Module:
    """Load and initialise a PKCS#11 module with CKF_OS_LOCKING_OK; a second time return the same object.

    It is never finalised: a call by another thread may be in flight until the process ends.

    Raises:
        ModuleUnavailable: no module, it cannot lock, another one is loaded, or this is a forked child.
    """
    path = path.resolve()
    with _lock:
        if not _loaded:
            _loaded.append(Module(path))
        module = _loaded[0]
    module.check_process()
    if module.path != path:
        raise ModuleUnavailable(
            f"got {path}, but this process has {module.path} loaded, and one process uses one module; "
            "start another process"
        )
    return module
