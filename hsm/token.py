"""A token: logged in once, its keys found by their public keys, new ones made on it."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from threading import Lock
from typing import Any, Final, Self

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error, TokenFlag
from pkcs11 import exceptions as pkcs11_errors

from hsm.algorithm import PROFILES, Algorithm, Profile, PublicKey, algorithm_of
from hsm.attestation import attestation_mapper, read_attestation
from hsm.attributes import REQUIRED, WISHES, KeyRecord, check_attributes, choose_uses, read_attributes
from hsm.encoding import EC_PARAMS, decode_ec_public_key, decode_rsa_public_key
from hsm.errors import (
    HsmError,
    KeyRefused,
    PinRefused,
    TokenUnavailable,
    describe,
    failure_of,
)
from hsm.keys import PrivateKey, prepare, private_key, spki
from hsm.module import Module
from hsm.pin import Pin
from hsm.sessions import Session
from hsm.transcript import TokenDescription, build_test_message, format_transcript, spki_sha256

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
    pkcs11_errors.GeneralError,  # NSS
    pkcs11_errors.AttributeReadOnly,
    pkcs11_errors.AttributeTypeInvalid,
    pkcs11_errors.AttributeValueInvalid,
    pkcs11_errors.DomainParamsInvalid,
    pkcs11_errors.TemplateInconsistent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key pair that the token has just made, and what is put on record of that."""

    record: KeyRecord
    transcript: str
    attestation: bytes | None


class Token:
    """A token with a user logged in; made by :meth:`open`. Threads may share it, forked children not.

    What is asked of the token itself goes through one session, one call at a time; :mod:`hsm.pool` opens as
    many more as are to sign at once. The login lasts as long as one session of the process that is never used
    for anything else: the library's ``Session.close`` of a logged-in session logs the whole process out. The
    PIN is not kept.
    """

    def __init__(
        self,
        module: Module,
        pkcs11_token: pkcs11.Token,
        anchor: pkcs11.Session,
        tolerated: frozenset[str],
        attestation: int | None,
    ) -> None:
        self._module = module
        self._pkcs11_token = pkcs11_token
        self._anchor = anchor
        self._tolerated = tolerated
        self._attestation = attestation
        self._using = Lock()
        self._own: Session | None = None
        self._held: dict[bytes, KeyRecord] = {}
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
    def open(
        cls,
        module: Module,
        label: str,
        pin: Pin,
        *,
        tolerated: Collection[str] = (),
        attestation: int | None = None,
    ) -> Self:
        """Find the one token with this label and log in.

        ``tolerated`` names attributes (``CKA_DERIVE``) that this token's private keys may have other than
        they should: for tokens that cannot do better, and keys that were imported knowingly. ``attestation``
        is the vendor's attribute with evidence of a key's making, see :mod:`hsm.attestation`.

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
            return cls(module, pkcs11_token, anchor, frozenset(tolerated), attestation)
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
        with self._asking("to close its sessions"), self._using:
            if self._own is not None:
                self._own.close()
            self._anchor.close()

    def abandon(self) -> None:
        """Close every session of this process with the token, be they dead or alive: nothing is lost if not.

        Raises:
            ModuleUnavailable: a forked child.
        """
        self._module.close_all_sessions(self._pkcs11_token.slot)

    def open_session(self) -> Session:
        """Open a session for one thread; whoever asked for it closes it.

        Raises:
            TokenUnavailable: the token gives no more.
            ModuleUnavailable: a forked child.
        """
        self._module.check_process()
        with self._asking("for a session"):
            session = self._pkcs11_token.open()
        return Session(self, session, self._module.signer(session))

    def keys(self) -> tuple[KeyRecord, ...]:
        """Return the token's key pairs in order of label; those of other algorithms are passed over.

        Raises:
            KeyRefused: two keys of one kind share a label or a CKA_ID, a private key has no public one, or
                its attributes are not as they should be and not tolerated.
            TokenUnavailable: the token does not answer.
        """
        with self._session() as session:
            records = self._records(session)
        for record in records:
            check_attributes(record, self._tolerated)
        self._held = {spki(record.public_key): record for record in records}
        return records

    def record(self, public_key_spki: bytes) -> KeyRecord:
        """Return the record of the pair with this public key (DER), as :meth:`keys` last read it.

        Raises:
            KeyRefused: there was none.
        """
        record = self._held.get(public_key_spki)
        if record is None:
            raise KeyRefused(f"token {self.label!r} does not hold the key of SPKI {public_key_spki.hex()}")
        return record

    def private_key(self, public_key: PublicKey) -> PrivateKey:
        """Return the private key of the pair whose public key is on record as ``public_key``.

        It signs one at a time; :meth:`hsm.pool.Pool.private_key` returns those that do not.

        Raises:
            KeyRefused: the token does not hold it, or as :meth:`keys` for this key.
            TokenUnavailable: the token does not answer.
        """
        wanted = spki(public_key)
        with self._session() as session:
            found = [record for record in self._records(session) if spki(record.public_key) == wanted]
        if len(found) != 1:
            raise KeyRefused(
                f"token {self.label!r} holds {len(found)} keys of SPKI SHA-256 {spki_sha256(public_key)}"
                ", expected one; is it the right token?"
            )
        check_attributes(found[0], self._tolerated)
        return private_key(found[0].public_key, lambda data: self._sign(found[0], data))

    def generate(self, label: str, algorithm: Algorithm) -> NewKey:
        """Make a key pair on the token, test it, and return it with the transcript of its making.

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
        record = next(record for record in self.keys() if record.cka_id == cka_id)
        # What comes back is verified, and the public key is the one the token stored: the pair is a pair.
        key = private_key(record.public_key, lambda data: self._sign(record, data))
        key.sign_prepared(prepare(key, build_test_message(record.public_key)))
        mechanism = _mechanism_name(PROFILES[algorithm].generate)
        attestation = self._read_attestation(cka_id)
        transcript = format_transcript(self._describe(), record, mechanism, attestation)
        return NewKey(record=record, transcript=transcript, attestation=attestation)

    def _read_attestation(self, cka_id: bytes) -> bytes | None:
        with self._asking("for evidence of the new key"):
            session = self._pkcs11_token.open(attribute_mapper=attestation_mapper(self._attestation))
            try:
                return read_attestation(session, cka_id, self._attestation)
            finally:
                session.close()

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
        with self._session() as session, self._asking("for its labels"):
            objects = session.pkcs11_session.get_objects({Attribute.LABEL: label})
            taken = sum(1 for _ in objects)
        if taken:
            raise KeyRefused(
                f"token {self.label!r} has the label {label!r} already; labels are never used twice"
            )

    def _make_pair(self, label: str, cka_id: bytes, algorithm: Algorithm) -> None:
        # No PIN: the login is the application's. Closing it does not log out, for the same reason.
        with self._pkcs11_token.open(rw=True) as session:
            attempts = product(WISHES, EC_PARAMS.get(algorithm, (b"",)))
            uses = choose_uses(self._tolerated)
            refusal: PKCS11Error | None = None
            for wished, params in attempts:
                try:
                    _generate_pair(session, label, cka_id, algorithm, params, wished, uses)
                except _TEMPLATE_REFUSED as error:
                    refusal = error
                else:
                    return
            assert refusal is not None  # noqa: S101 -- there is at least one attempt
            raise refusal

    def _records(self, session: Session) -> tuple[KeyRecord, ...]:
        with self._asking("for its keys"):
            find = session.pkcs11_session.get_objects
            public = list(find({Attribute.CLASS: ObjectClass.PUBLIC_KEY}))
            private = list(find({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
            _check_unique(public, "public")
            _check_unique(private, "private")
            by_id = {key[Attribute.ID]: key for key in public}
            records = [_read_record(key, by_id.get(key[Attribute.ID])) for key in private]
        return tuple(sorted(filter(None, records), key=lambda record: record.label))

    def _sign(self, record: KeyRecord, data: bytes) -> bytes:
        with self._session() as session:
            return session.sign(record, data)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Give the token's own session to one caller at a time."""
        self._module.check_process()
        with self._using:
            if self._own is None:
                self._own = self.open_session()
            yield self._own

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
    uses: MechanismFlag,
) -> None:
    profile = PROFILES[algorithm]
    # UNWRAP, DERIVE and mostly DECRYPT are false by the library's doing; SIGN_RECOVER is true by SoftHSM's.
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
        "capabilities": uses,
        "mechanism": profile.generate,
        "private_template": private,
    }
    if profile.key_type is KeyType.RSA:
        session.generate_keypair(KeyType.RSA, profile.bits, **common)
    else:
        domain = {Attribute.EC_PARAMS: params}
        session.create_domain_parameters(profile.key_type, domain, local=True).generate_keypair(**common)


def _mechanism_name(mechanism: Mechanism | int) -> str:
    return f"CKM_{mechanism.name}" if isinstance(mechanism, Mechanism) else f"{mechanism:#010x}"
