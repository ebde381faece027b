"""The errors of PKCS#11 keys: one root, and for calls that failed how deep the failure lies."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pkcs11 import exceptions as pkcs11_errors


class Failure(StrEnum):
    """What a failed call says of the state it was made in, shallowest first: what must be made anew.

    ``OPERATION``: nothing, another try may succeed. ``SESSION``: the session and its object handles.
    ``LOGIN``: the login. ``DEVICE``: the token or the module cannot be relied on.
    """

    OPERATION = "operation"
    SESSION = "session"
    LOGIN = "login"
    DEVICE = "device"


class HsmError(Exception):
    """Root of the package's errors: what happened, got and expected, what to do. Never holds a secret."""


class ModuleUnavailable(HsmError):
    """The PKCS#11 module cannot be loaded or initialised, or not be used in this process."""


class TokenUnavailable(HsmError):
    """No token, or more than one, has the label; or the token does not do what was asked of it."""

    def __init__(self, message: str, *, failure: Failure = Failure.DEVICE) -> None:
        super().__init__(message)
        self.failure = failure


class PinRefused(HsmError):
    """The PIN cannot be had from its source, or the token did not take it."""


class KeyRefused(HsmError):
    """A key that must not or cannot be used: its attributes, a label used twice, not the one on record."""


class OperationRefused(HsmError):
    """An operation that would expose a key, or use it for anything but the signatures it is for."""


class SigningFailed(HsmError):
    """The token made no signature; ``failure`` says what has to be made anew before the next try."""

    def __init__(self, message: str, *, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class TokenOverran(HsmError):
    """The token had not answered when the deadline passed. It may still do, and a signature then exists."""


class NoTurn(HsmError):
    """The token was not asked: its turn did not come in time, or the pool stops. Nothing was signed.

    ``away``: not because others had theirs, but because the token did not work.
    """

    def __init__(self, message: str, *, away: bool) -> None:
        super().__init__(message)
        self.away = away


class BadSignature(HsmError):
    """The token returned a signature that does not verify, of which no byte may be shown or kept.

    A faulty signature can reveal the private key; whoever catches this stops using the key.
    """


# By the return values of PKCS#11 v3.1 §5.1. What is not listed says nothing of session or login.
FAILURES: Final = {
    Failure.SESSION: (
        pkcs11_errors.KeyHandleInvalid,
        pkcs11_errors.ObjectHandleInvalid,
        pkcs11_errors.OperationActive,
        pkcs11_errors.OperationNotInitialized,
        pkcs11_errors.SessionClosed,
        pkcs11_errors.SessionCount,
        pkcs11_errors.SessionHandleInvalid,
    ),
    Failure.LOGIN: (pkcs11_errors.PinExpired, pkcs11_errors.UserNotLoggedIn),
    Failure.DEVICE: (
        pkcs11_errors.DeviceError,
        pkcs11_errors.DeviceMemory,
        pkcs11_errors.DeviceRemoved,
        pkcs11_errors.GeneralError,
        pkcs11_errors.HostMemory,
        pkcs11_errors.SlotIDInvalid,
        pkcs11_errors.TokenNotPresent,
        pkcs11_errors.TokenNotRecognised,
    ),
}


def failure_of(error: pkcs11_errors.PKCS11Error) -> Failure:
    """Tell from the library's error what has to be made anew.

    The bare root class stands for return values that the library does not map, those of vendors and
    CKR_CRYPTOKI_NOT_INITIALIZED among them, hence the worst.
    """
    if type(error) is pkcs11_errors.PKCS11Error:
        return Failure.DEVICE
    for failure, classes in FAILURES.items():
        if isinstance(error, classes):
            return failure
    return Failure.OPERATION


def describe(error: pkcs11_errors.PKCS11Error) -> str:
    """Name the library's error, whose text is mostly empty."""
    return f"{type(error).__name__} {error}".strip()
