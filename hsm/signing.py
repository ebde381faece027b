"""C_SignInit and C_Sign, called through the module's own function list: see ADR 0009.

Names and numbers: PKCS#11 v3.1, its header pkcs11t.h. What the library raises for a return value is raised
here too, so that there is one way to tell how deep a failure lies.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

from pkcs11 import PKCS11Error
from pkcs11 import exceptions as pkcs11_errors

# For a signature, in bytes: the longest is RSA-4096's.
_ROOM: Final = 512
_CKR_OK: Final = 0x00

# What C_SignInit and C_Sign return when they fail (§5.13), and vendors in their place. What is not listed,
# the library raises as the bare root class too.
RAISED: Final[Mapping[int, type[PKCS11Error]]] = {
    0x02: pkcs11_errors.HostMemory,
    0x03: pkcs11_errors.SlotIDInvalid,
    0x05: pkcs11_errors.GeneralError,
    0x06: pkcs11_errors.FunctionFailed,
    0x07: pkcs11_errors.ArgumentsBad,
    0x20: pkcs11_errors.DataInvalid,
    0x21: pkcs11_errors.DataLenRange,
    0x30: pkcs11_errors.DeviceError,
    0x31: pkcs11_errors.DeviceMemory,
    0x32: pkcs11_errors.DeviceRemoved,
    0x50: pkcs11_errors.FunctionCancelled,
    0x54: pkcs11_errors.FunctionNotSupported,
    0x60: pkcs11_errors.KeyHandleInvalid,
    0x62: pkcs11_errors.KeySizeRange,
    0x63: pkcs11_errors.KeyTypeInconsistent,
    0x70: pkcs11_errors.MechanismInvalid,
    0x71: pkcs11_errors.MechanismParamInvalid,
    0x82: pkcs11_errors.ObjectHandleInvalid,
    0x90: pkcs11_errors.OperationActive,
    0x91: pkcs11_errors.OperationNotInitialized,
    0xA3: pkcs11_errors.PinExpired,
    0xB0: pkcs11_errors.SessionClosed,
    0xB1: pkcs11_errors.SessionCount,
    0xB3: pkcs11_errors.SessionHandleInvalid,
    0xE0: pkcs11_errors.TokenNotPresent,
    0xE1: pkcs11_errors.TokenNotRecognised,
    0x101: pkcs11_errors.UserNotLoggedIn,
    0x200: pkcs11_errors.FunctionRejected,
}


class CkMechanism(ctypes.Structure):
    """CK_MECHANISM, without a parameter."""

    _fields_ = (
        ("mechanism", ctypes.c_ulong),
        ("pParameter", ctypes.c_void_p),
        ("ulParameterLen", ctypes.c_ulong),
    )


SignInit = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(CkMechanism), ctypes.c_ulong)
Sign = ctypes.CFUNCTYPE(
    ctypes.c_ulong,
    ctypes.c_ulong,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_ulong),
)


class Signer:
    """The two calls in one session; for one thread at a time, as the session is."""

    __slots__ = ("_init", "_length", "_room", "_session", "_sign")

    def __init__(self, init: Any, sign: Any, session: int) -> None:
        """Take the module's functions, of the types above, and the handle of a session."""
        self._init = init
        self._sign = sign
        self._session = session
        self._room = ctypes.create_string_buffer(_ROOM)
        self._length = ctypes.c_ulong()

    def sign(self, key: int, mechanism: CkMechanism, data: bytes) -> bytes:
        """Sign ``data`` with the private key of handle ``key`` and return the token's bytes, unverified.

        Raises:
            PKCS11Error: its class says what the token returned.
        """
        _check(self._init(self._session, mechanism, key))
        self._length.value = _ROOM
        _check(self._sign(self._session, data, len(data), self._room, self._length))
        return self._room.raw[: self._length.value]


def _check(result: int) -> None:
    if result != _CKR_OK:
        raise RAISED.get(result, PKCS11Error)(f"{result:#x}")
