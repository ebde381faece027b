"""A PKCS#11 module, initialised for threads. One per process, never across a fork; see ADR 0003."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, cast

import pkcs11
from pkcs11 import PKCS11Error, Slot, _pkcs11

from hsm.errors import ModuleUnavailable, describe
from hsm.signing import Sign, Signer, SignInit

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
        ("pReserved", ctypes.c_char_p),
    )


_Plain = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)
_OnSlot = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong)


class _FunctionList(ctypes.Structure):
    """CK_FUNCTION_LIST as far as C_Sign; those between are called by the library alone."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("C_Initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.POINTER(_InitializeArgs))),
        ("C_Finalize", _Plain),
        ("from_C_GetInfo_to_C_CloseSession", ctypes.c_void_p * 12),
        ("C_CloseAllSessions", _OnSlot),
        ("from_C_GetSessionInfo_to_C_DigestFinal", ctypes.c_void_p * 27),
        ("C_SignInit", SignInit),
        ("C_Sign", Sign),
    )


class _Library(_pkcs11.lib):  # type: ignore[misc, unused-ignore]
    """The library's module, with its C_Initialize(NULL) replaced.

    NULL promises the module that a single thread calls it, while the library gives up the GIL around
    C_Sign: with two threads SoftHSM 2.6.1 then crashes. The base class calls ``initialize`` before all else,
    and it cannot pass arguments, so the module's own function list is called.
    """

    def __new__(cls, so: str, parameters: str | None) -> Self:  # noqa: ARG004 - __init__ takes it
        library: Self = _pkcs11.lib.__new__(cls, so)  # type: ignore[call-arg, unused-ignore]
        return library

    def __init__(self, so: str, parameters: str | None) -> None:
        self._functions = _function_list(so)
        self._parameters = None if parameters is None else parameters.encode()
        # Each look-up in the list makes a new function object.
        self._sign_init, self._sign = self._functions.C_SignInit, self._functions.C_Sign
        super().__init__(so)

    def initialize(self) -> None:
        arguments = _InitializeArgs(flags=_CKF_OS_LOCKING_OK, pReserved=self._parameters)
        result = self._functions.C_Initialize(arguments)
        if result != _CKR_OK:
            advice = _ADVICE.get(result, "the module's own log and documentation say why")
            raise ModuleUnavailable(f"PKCS#11 module {self.so}: C_Initialize returned {result:#x}; {advice}")

    def finalize(self) -> None:
        # Whatever it returns: what matters is whether the module can be initialised again.
        self._functions.C_Finalize(None)

    def close_all_sessions(self, slot_id: int) -> None:
        self._functions.C_CloseAllSessions(slot_id)

    def signer(self, session: int) -> Signer:
        return Signer(self._sign_init, self._sign, session)


def _function_list(so: str) -> _FunctionList:
    """Return the module's function list, which must be the one that the library was given too."""
    lists = [ctypes.POINTER(_FunctionList)() for _ in range(2)]
    shared_object = ctypes.CDLL(so)
    for each in lists:
        if (result := shared_object.C_GetFunctionList(ctypes.byref(each))) != _CKR_OK:
            raise ModuleUnavailable(f"PKCS#11 module {so}: C_GetFunctionList returned {result:#x}")
    if ctypes.addressof(lists[0].contents) != ctypes.addressof(lists[1].contents):
        raise ModuleUnavailable(
            f"PKCS#11 module {so} gives every caller a module of its own (p11-kit-proxy does); "
            "configure the module that stands behind it"
        )
    return lists[0].contents


class Module:
    """A loaded module; made by :func:`load_module` only. All attributes are the module's own words."""

    def __init__(self, path: Path, parameters: str | None) -> None:
        try:
            self._library = _Library(str(path), parameters)
        except (PKCS11Error, OSError) as error:
            raise ModuleUnavailable(
                f"PKCS#11 module {path} cannot be loaded; is it the right file, for this machine? {error}"
            ) from error
        # Never unloaded: at exit the library would call methods of a class that is half taken apart.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._library))
        self._pid = os.getpid()
        self.path = path
        self.parameters = parameters
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

    def reinitialise(self) -> None:
        """Call C_Finalize and C_Initialize: every session, handle and login of the process is gone.

        The caller has seen to it that no call is in flight (PKCS#11 v3.1 §5.4: the behaviour is undefined).

        Raises:
            ModuleUnavailable: a forked child, or the module does not come back.
        """
        self.check_process()
        self._library.finalize()
        self._library.initialize()

    def close_all_sessions(self, slot: Slot) -> None:
        """Close every session of this process with a slot, and log out; errors are of no consequence."""
        self.check_process()
        self._library.close_all_sessions(slot.slot_id)

    def signer(self, session: pkcs11.Session) -> Signer:
        """Return what signs in a session of this module."""
        handle: int = cast("Any", session).handle
        return self._library.signer(handle)

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


def load_module(
    path: Path, *, parameters: str | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> Module:
    """Load and initialise a PKCS#11 module with CKF_OS_LOCKING_OK; a second time return the same object.

    ``parameters`` is handed to C_Initialize as ``pReserved``: NSS takes its configuration that way. Other
    modules want none. ``environment`` is set for the module, many of which are configured by it.

    Raises:
        ModuleUnavailable: no module, it cannot lock, another one is loaded, or this is a forked child.
    """
    path = path.resolve()
    with _lock:
        if not _loaded:
            os.environ.update(environment)  # noqa: TID251 - set, not read
            _loaded.append(Module(path, parameters))
        module = _loaded[0]
    module.check_process()
    if (module.path, module.parameters) != (path, parameters):
        raise ModuleUnavailable(
            f"got {path}, but this process has {module.path} loaded, and one process uses one module with "
            "one set of parameters; start another process"
        )
    return module
