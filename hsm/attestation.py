"""What a token offers as evidence that a key was made in it: bytes for others to verify, kept as they are.

PKCS#11 v3.1 has no attribute for it. Two ways exist in the field: an X.509 certificate over the key, under
its CKA_ID from the moment it was made (YubiKeys), and an attribute of the vendor's own on the private key,
whose number the operator names (tpm2-pkcs11: CKA_TPM2_PUB_BLOB, the TPM2B_PUBLIC with its objectAttributes).
"""

from __future__ import annotations

from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, ObjectClass
from pkcs11.attributes import AttributeMapper
from pkcs11.exceptions import AttributeSensitive, AttributeTypeInvalid, FunctionFailed

# Room for a chain of certificates; more does not belong into a ledger.
MAX_ATTESTATION: Final = 65_536


def attestation_mapper(attribute: int | None) -> AttributeMapper:
    """Return what a session needs to read the vendor's attribute."""
    mapper = AttributeMapper()
    if attribute is not None:
        mapper.register_handler(attribute, bytes, bytes)  # type: ignore[arg-type, unused-ignore]
    return mapper


def read_attestation(session: pkcs11.Session, cka_id: bytes, attribute: int | None) -> bytes | None:
    """Read what there is for the private key with this CKA_ID, by a session with the mapper above.

    Raises:
        pkcs11.PKCS11Error: the token does not answer.
    """
    wanted: list[tuple[dict[Attribute, Any], Any]] = [
        ({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: cka_id}, Attribute.VALUE)
    ]
    if attribute is not None:
        wanted.insert(0, ({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: cka_id}, attribute))
    for template, name in wanted:
        for found in list(session.get_objects(template)):
            value = _read(found, name)
            if value and len(value) <= MAX_ATTESTATION:
                return value
    return None


def _read(found: Any, attribute: Any) -> bytes | None:
    try:
        return bytes(found[attribute])
    except (AttributeTypeInvalid, AttributeSensitive, FunctionFailed):
        return None
