"""What a private key's attributes must be: made on the token, never to leave it, for signatures only.

PKCS#11 v3.1 §4.9 and §4.10. What is read is the token's word; whether to believe it is a question of which
token one buys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pkcs11 import Attribute, MechanismFlag
from pkcs11.exceptions import AttributeSensitive, AttributeTypeInvalid, FunctionFailed

from hsm.algorithm import Algorithm, PublicKey
from hsm.errors import KeyRefused

_YES: Final = frozenset({True})
_NO: Final = frozenset({False})
# A module that has no such attribute has no such use of the key either.
_NO_OR_UNKNOWN: Final = frozenset({False, None})

REQUIRED: Final[Mapping[Attribute, frozenset[bool | None]]] = {
    Attribute.TOKEN: _YES,
    Attribute.PRIVATE: _YES,
    Attribute.SENSITIVE: _YES,
    Attribute.ALWAYS_SENSITIVE: _YES,
    Attribute.EXTRACTABLE: _NO,
    Attribute.NEVER_EXTRACTABLE: _YES,
    Attribute.LOCAL: _YES,
    Attribute.SIGN: _YES,
    Attribute.SIGN_RECOVER: _NO_OR_UNKNOWN,
    Attribute.DECRYPT: _NO_OR_UNKNOWN,
    Attribute.UNWRAP: _NO_OR_UNKNOWN,
    Attribute.DERIVE: _NO_OR_UNKNOWN,
    # It asks for the PIN before each signature, and we keep no PIN.
    Attribute.ALWAYS_AUTHENTICATE: _NO_OR_UNKNOWN,
}
# Good to have false: they keep others who have the PIN from copying, destroying or relabelling the key.
WISHED_FALSE: Final = (Attribute.COPYABLE, Attribute.DESTROYABLE, Attribute.MODIFIABLE)
# What is asked for, one after the other: NSS knows the last only, others none of them.
WISHES: Final = (WISHED_FALSE, (Attribute.MODIFIABLE,), ())

USES: Final = MechanismFlag.SIGN | MechanismFlag.VERIFY
_USES_OF_TPMS: Final = USES | MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT

NAMES: Final = tuple(f"CKA_{attribute.name}" for attribute in (*REQUIRED, *WISHED_FALSE))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key pair on a token.

    ``attributes`` are the private key's, by name (``CKA_SIGN``), None where the token reports none. The two
    objects were paired by CKA_ID: that the private key belongs to the public one shows with its first
    signature, not before.
    """

    label: str
    cka_id: bytes
    public_key: PublicKey
    algorithm: Algorithm
    attributes: tuple[tuple[str, bool | None], ...]


def choose_uses(tolerated: Collection[str]) -> MechanismFlag:
    """Return what a new key is to be for: signatures, but for TPMs, whose keys also decrypt or do neither.

    Not found out by trying: a TPM's module loses memory with every key that it fails to make.
    """
    return _USES_OF_TPMS if f"CKA_{Attribute.DECRYPT.name}" in tolerated else USES


def read_attributes(private_key: Any) -> tuple[tuple[str, bool | None], ...]:
    """Read the attributes of :data:`NAMES` from the library's key object.

    Raises:
        pkcs11.PKCS11Error: the token does not answer.
    """
    return tuple(
        (name, _read(private_key, attribute))
        for name, attribute in zip(NAMES, (*REQUIRED, *WISHED_FALSE), strict=True)
    )


def check_attributes(record: KeyRecord, tolerated: Collection[str]) -> None:
    """Check that a key can do nothing but sign, where it is; ``tolerated`` names attributes to let pass.

    Raises:
        KeyRefused: naming each attribute that is not as it should be.
    """
    found = dict(record.attributes)
    wrong = [
        f"{name} is {_word(found[name])}"
        for name, attribute in zip(NAMES, REQUIRED, strict=False)
        if found[name] not in REQUIRED[attribute] and name not in tolerated
    ]
    if wrong:
        raise KeyRefused(
            f"private key {record.label!r}: {', '.join(wrong)}; make a new key on the token, or tolerate "
            "these attributes by name"
        )


def format_attributes(record: KeyRecord) -> str:
    """Format the attributes, one a line."""
    return "".join(f"  {name}: {_word(value)}\n" for name, value in record.attributes)


def _read(private_key: Any, attribute: Attribute) -> bool | None:
    try:
        return bool(private_key[attribute])
    # The library turns "unavailable" beside CKR_OK into FunctionFailed.
    except (AttributeTypeInvalid, AttributeSensitive, FunctionFailed):
        return None


def _word(value: bool | None) -> str:
    return {True: "true", False: "false", None: "not reported"}[value]
