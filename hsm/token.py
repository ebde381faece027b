"""A token: logged in once, its keys found by their public keys, new ones made on it."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any, Final, Self

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error, TokenFlag
from pkcs11 import exceptions as pkcs11_errors

from hsm.algorithm import PROFILES, Algorithm, Profile, PublicKey, algorithm_of
from hsm.attributes import REQUIRED, WISHED_FALSE, KeyRecord, check_attributes, read_attributes
from hsm.encoding import EC_PARAMS, decode_ec_public_key, decode_rsa_public_key
from hsm.errors import (
    HsmError,
    KeyRefused,
    PinRefused,
    SigningFailed,
    TokenUnavailable,
    describe,
    failure_of,
)
from hsm.keys import PKCS11ECPrivateKey, PKCS11Ed25519PrivateKey, PKCS11RSAPrivateKey, RawSigner
from hsm.module import Module
from hsm.pin import Pin
from hsm.sessions import ThreadSessions
from hsm.transcript import TokenDescription, build_test_message, format_transcript, spki_sha256

PrivateKey = PKCS11ECPrivateKey | PKCS11Ed25519PrivateKey | PKCS11RSAPrivateKey

_LABEL: Final = re.compile(r"[!-~]{1,64}")
_CKA_ID_BYTES: Final = 16  # random, so that two tokens restored into one do not collide

_PIN_ADVICE: Final[dict[type[PKCS11Error], str]] = {
    pkcs11_errors.PinIncorrect: "it is not this token's PIN; each further try may count towards a lock-out",
    pkcs11_errors.PinInvalid: "it has characters that the token does not take",
    pkcs11_errors.PinLenRange: "it is shorter or longer than the token takes",
    pkcs11_errors.PinLocked: "too many wrong PINs locked it; the security officer can reset it",
    pkcs11_errors.PinExpired: "it has expired; set a new one with the token's own tool",
    pkcs11_errors.UserPinNotInitialized: "the token has no user PIN yet; the security officer sets it",
}
# How a token says that it does not know an attribute of the template, or this form of the parameters.
_TEMPLATE_REFUSED: Final = (
    pkcs11_errors.AttributeReadOnly,
    pkcs11_errors.AttributeTypeInvalid,
    pkcs11_errors.AttributeValueInvalid,
    pkcs11_errors.DomainParamsInvalid,
    pkcs11_errors.TemplateInconsistent,
)


class Token:
    """A token with a user logged in; made by :meth:`open`. Threads may share it, forked children not.

    The login lasts as long as one session of the process that is never used for anything else: the library's
    ``Session.close`` of a logged-in session logs the whole process out. The PIN is not kept.
    """

    def __init__(
        self, module: Module, pkcs11_token: pkcs11.Token, anchor: pkcs11.Session, tolerated: frozenset[str]
    ) -> None:
        self._module = module
        self._pkcs11_token = pkcs11_token
        self._anchor = anchor
        self._tolerated = tolerated
        self._sessions = ThreadSessions(module, pkcs11_token)
        self.label = pkcs11_token.label
        self.manufacturer = pkcs11_token.manufacturer_id
        self.model = pkcs11_token.model
        self.serial = pkcs11_token.serial.decode("ascii", "backslashreplace")
        with self._asking("its mechanisms"):
            self.mechanisms = frozenset(map(_mechanism_name, pkcs11_token.slot.get_mechanisms()))
            self.algorithms = frozenset(
                algorithm for algorithm, profile in PROFILES.items() if self._allows(profile)
            )

    @classmethod
    def open(cls, module: Module, label: str, pin: Pin, *, tolerated: Collection[str] = ()) -> Self:
        """Find the one token with this label and log in.

        ``tolerated`` names attributes (``CKA_DERIVE``) that this token's private keys may have other than
        they should: for tokens that cannot do better, and keys that were imported knowingly.

        Raises:
            TokenUnavailable: no token or several have the label, it does not answer, or this process has it
                open already.
            PinRefused: the token does not take the PIN.
            ModuleUnavailable: a forked child.
        """
        if unknown := set(tolerated) - {f"CKA_{attribute.name}" for attribute in REQUIRED}:
            raise ValueError(f"no such attribute is required: {', '.join(sorted(unknown))}")
        pkcs11_token = _find_token(module, label)
        anchor = _log_in(pkcs11_token, pin)
        try:
            return cls(module, pkcs11_token, anchor, frozenset(tolerated))
        except HsmError:
            anchor.close()
            raise

    def close(self) -> None:
        """Close every session and log out; the caller's threads have stopped signing.

        Raises:
            TokenUnavailable: the token does not answer.
            ModuleUnavailable: a forked child, whose sessions are its parent's.
        """
        self._module.check_process()
        with self._asking("to close its sessions"):
            self._sessions.close()
            self._anchor.close()

    def keys(self) -> tuple[KeyRecord, ...]:
        """Return the token's key pairs in order of label; those of other algorithms are passed over.

        Raises:
            KeyRefused: two keys of one kind share a label or a CKA_ID, a private key has no public one, or
                its attributes are not as they should be and not tolerated.
            TokenUnavailable: the token does not answer.
        """
        records = self._records()
        for record in records:
            check_attributes(record, self._tolerated)
        return records

    def private_key(self, public_key: PublicKey) -> PrivateKey:
        """Return the private key of the pair whose public key is on record as ``public_key``.

        Raises:
            KeyRefused: the token does not hold it, or as :meth:`keys` for this key.
            TokenUnavailable: the token does not answer.
        """
        wanted = _spki(public_key)
        found = [record for record in self._records() if _spki(record.public_key) == wanted]
        if len(found) != 1:
            raise KeyRefused(
                f"token {self.label!r} holds {len(found)} keys of SPKI SHA-256 {spki_sha256(public_key)}"
                ", expected one; is it the right token?"
            )
        check_attributes(found[0], self._tolerated)
        return self._private_key(found[0])

    def generate(self, label: str, algorithm: Algorithm) -> tuple[KeyRecord, str]:
        """Make a key pair on the token, test it, and return its record and the transcript.

        A crash or an error after the token made the key leaves it there, mostly impossible to destroy but by
        erasing the token; its label is taken from then on, and it is on nobody's record.

        Raises:
            KeyRefused: the label is malformed or taken, the token does not do the algorithm, or it made the
                key with other attributes than asked for.
            TokenUnavailable: the token made no key.
            SigningFailed, BadSignature: the test of the new key failed.
        """
        self._check_new(label, algorithm)
        cka_id = secrets.token_bytes(_CKA_ID_BYTES)
        with self._asking("for a new key"):
            self._make_pair(label, cka_id, algorithm)
        record = next(record for record in self._records() if record.cka_id == cka_id)
        check_attributes(record, self._tolerated)
        # sign() verifies what comes back, and the public key is the one the token stored: the pair is a pair.
        _sign(self._private_key(record), build_test_message(record.public_key))
        mechanism = _mechanism_name(PROFILES[algorithm].generate)
        return record, format_transcript(self._describe(), record, mechanism)

    def _allows(self, profile: Profile) -> bool:
        if not {_mechanism_name(profile.generate), _mechanism_name(profile.sign)} <= self.mechanisms:
            return False
        info = self._pkcs11_token.slot.get_mechanism_info(profile.generate)
        # Zero is what modules say that do not know. Edwards curves are 255 or 256 bits, as one counts.
        low, high = info.min_key_length or 0, info.max_key_length or profile.bits
        return profile.key_type is KeyType.EC_EDWARDS or low <= profile.bits <= high

    def _check_new(self, label: str, algorithm: Algorithm) -> None:
        if not _LABEL.fullmatch(label):
            raise KeyRefused(f"got the label {label[:64]!r}, expected 1 to 64 visible ASCII characters")
        if algorithm not in self.algorithms:
            raise KeyRefused(
                f"token {self.label!r} makes no {algorithm}; it makes {', '.join(sorted(self.algorithms))}"
            )
        with self._asking("for its labels"):
            objects = self._sessions.current().pkcs11_session.get_objects({Attribute.LABEL: label})
            taken = sum(1 for _ in objects)
        if taken:
            raise KeyRefused(
                f"token {self.label!r} has the label {label!r} already; labels are never used twice"
            )

    def _make_pair(self, label: str, cka_id: bytes, algorithm: Algorithm) -> None:
        # No PIN: the login is the application's. Closing it does not log out, for the same reason.
        with self._pkcs11_token.open(rw=True) as session:
            attempts = product((WISHED_FALSE, ()), EC_PARAMS.get(algorithm, (b"",)))
            refusal: PKCS11Error | None = None
            for wished, params in attempts:
                try:
                    _generate_pair(session, label, cka_id, algorithm, params, wished)
                except _TEMPLATE_REFUSED as error:
                    refusal = error
                else:
                    return
            assert refusal is not None  # noqa: S101 -- there is at least one attempt
            raise refusal

    def _records(self) -> tuple[KeyRecord, ...]:
        with self._asking("for its keys"):
            session = self._sessions.current().pkcs11_session
            public = list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY}))
            private = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
            _check_unique(public, "public")
            _check_unique(private, "private")
            by_id = {key[Attribute.ID]: key for key in public}
            records = [_read_record(key, by_id.get(key[Attribute.ID])) for key in private]
        return tuple(sorted(filter(None, records), key=lambda record: record.label))

    def _private_key(self, record: KeyRecord) -> PrivateKey:
        signer: RawSigner = partial(self._sign, record.cka_id, PROFILES[record.algorithm].sign)
        match record.public_key:
            case ec.EllipticCurvePublicKey():
                return PKCS11ECPrivateKey(record.public_key, signer)
            case ed25519.Ed25519PublicKey():
                return PKCS11Ed25519PrivateKey(record.public_key, signer)
            case rsa.RSAPublicKey():
                return PKCS11RSAPrivateKey(record.public_key, signer)

    def _sign(self, cka_id: bytes, mechanism: Mechanism, data: bytes) -> bytes:
        try:
            key = self._sessions.current().private_key(cka_id)
            signature: bytes = key.sign(data, mechanism=mechanism)
        except PKCS11Error as error:
            raise SigningFailed(
                f"token {self.label!r} made no signature: {describe(error)}", failure=failure_of(error)
            ) from error
        return signature

    def _describe(self) -> TokenDescription:
        module = self._module
        return TokenDescription(
            module=module.path.name,
            library=f"{module.manufacturer} {module.description} {module.version}",
            label=self.label,
            manufacturer=self.manufacturer,
            model=self.model,
            serial=self.serial,
        )

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except PKCS11Error as error:
            raise TokenUnavailable(
                f"token {self.label!r}, asked {what}: {describe(error)}", failure=failure_of(error)
            ) from error


def _find_token(module: Module, label: str) -> pkcs11.Token:
    present = list(filter(None, map(_token_of, module.slots())))
    found = [token for token in present if token.label == label]
    if len(found) != 1:
        labels = ", ".join(sorted(repr(token.label) for token in present)) or "none"
        raise TokenUnavailable(
            f"{len(found)} tokens of {module.path.name} have the label {label!r}, expected one; "
            f"labels: {labels}"
        )
    return found[0]


def _token_of(slot: pkcs11.Slot) -> pkcs11.Token | None:
    try:
        token = slot.get_token()
    except PKCS11Error:  # a token that went, or does not answer, is not the one that is looked for
        return None
    return token if token.flags & TokenFlag.TOKEN_INITIALIZED else None


def _log_in(pkcs11_token: pkcs11.Token, pin: Pin) -> pkcs11.Session:
    try:
        return pkcs11_token.open(user_pin=pin.reveal())
    except pkcs11_errors.UserAlreadyLoggedIn as error:
        raise TokenUnavailable(
            f"token {pkcs11_token.label!r} is open in this process already; share that Token"
        ) from error
    except PKCS11Error as error:
        if advice := _PIN_ADVICE.get(type(error)):
            raise PinRefused(f"token {pkcs11_token.label!r} refused the PIN: {advice}") from error
        raise TokenUnavailable(
            f"token {pkcs11_token.label!r}: no login: {describe(error)}", failure=failure_of(error)
        ) from error


def _check_unique(keys: list[Any], kind: str) -> None:
    for attribute in (Attribute.LABEL, Attribute.ID):
        counts = Counter(key[attribute] for key in keys)
        for value, count in counts.items():
            if count > 1:
                shown = value.hex() if isinstance(value, bytes) else repr(value)
                raise KeyRefused(
                    f"{count} {kind} keys have CKA_{attribute.name} {shown}; which one is meant cannot be "
                    "told, so none is used: relabel or remove with the token's own tool"
                )


def _read_record(private: Any, public: Any | None) -> KeyRecord | None:
    if private[Attribute.KEY_TYPE] not in {profile.key_type for profile in PROFILES.values()}:
        return None
    if public is None:
        raise KeyRefused(
            f"private key {private[Attribute.LABEL]!r} has no public key with its CKA_ID beside it; import it"
        )
    public_key = _read_public_key(public)
    algorithm = None if public_key is None else algorithm_of(public_key)
    if public_key is None or algorithm is None:
        return None
    return KeyRecord(
        label=private[Attribute.LABEL],
        cka_id=private[Attribute.ID],
        public_key=public_key,
        algorithm=algorithm,
        attributes=read_attributes(private),
    )


def _read_public_key(public: Any) -> PublicKey | None:
    if public[Attribute.KEY_TYPE] == KeyType.RSA:
        return decode_rsa_public_key(public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT])
    return decode_ec_public_key(public[Attribute.EC_PARAMS], public[Attribute.EC_POINT])


def _generate_pair(
    session: pkcs11.Session,
    label: str,
    cka_id: bytes,
    algorithm: Algorithm,
    params: bytes,
    wished_false: tuple[Attribute, ...],
) -> None:
    profile = PROFILES[algorithm]
    # DECRYPT, UNWRAP and DERIVE are false by the library's doing; SoftHSM's default for SIGN_RECOVER is true.
    private = {
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN_RECOVER: False,
        **dict.fromkeys(wished_false, False),
    }
    common: dict[str, Any] = {
        "id": cka_id,
        "label": label,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "mechanism": profile.generate,
        "private_template": private,
    }
    if profile.key_type is KeyType.RSA:
        session.generate_keypair(KeyType.RSA, profile.bits, **common)
    else:
        domain = {Attribute.EC_PARAMS: params}
        session.create_domain_parameters(profile.key_type, domain, local=True).generate_keypair(**common)


def _sign(private_key: PrivateKey, message: bytes) -> None:
    match private_key:
        case PKCS11ECPrivateKey():
            private_key.sign(message, ec.ECDSA(hashes.SHA256()))
        case PKCS11Ed25519PrivateKey():
            private_key.sign(message)
        case PKCS11RSAPrivateKey():
            private_key.sign(message, PKCS1v15(), hashes.SHA256())


def _mechanism_name(mechanism: Mechanism | int) -> str:
    return f"CKM_{mechanism.name}" if isinstance(mechanism, Mechanism) else f"{mechanism:#010x}"


def _spki(public_key: PublicKey) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
