"""What the state is made of: the records that entries leave in it, each frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

from appliance.policy.document import Policy
from appliance.ssh.keys import PublicKey

Serial = NewType("Serial", int)
Phase = Literal["created", "trusted", "signing", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedPolicy:
    """The policy in force, and the seq of the ``policy.applied`` that decisions cite."""

    seq: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class CaKey:
    """One key of a CA and the phase that it is in since ``since_ms``; the ledger cites its fingerprint.

    ``trusted_ms`` is the moment from which on hosts are told to trust it, 0 if they are not; ``has_signed``
    says whether it was ever the one that signs. Moments are in Unix milliseconds.
    """

    public_key: PublicKey
    fingerprint: str
    phase: Phase
    halted: bool = False
    since_ms: int = 0
    trusted_ms: int = 0
    has_signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """A CA by name: at most one of its keys signs at a time."""

    name: str
    type: Literal["user", "host"]
    customer: str | None
    keys: tuple[CaKey, ...]

    @property
    def signing_key(self) -> CaKey | None:
        """The key that signs now."""
        return next((key for key in self.keys if key.phase == "signing"), None)

    @property
    def trusted_keys(self) -> tuple[CaKey, ...]:
        """The keys that hosts are told to trust: those that sign or are trusted, and are not halted."""
        return tuple(key for key in self.keys if key.phase in {"trusted", "signing"} and not key.halted)

    def find_key(self, print_: str) -> CaKey | None:
        """Return the key with this fingerprint, in whatever phase it is."""
        return next((key for key in self.keys if key.fingerprint == print_), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An API credential; ``uses_left`` is None where uses are not limited."""

    id: str
    subject: str
    kind: Literal["user", "service", "host"]
    secret_sha256: str
    expires_s: int | None
    uses_left: int | None
    revoked: bool = False


# Who asked, and the SHA-256 of the key that he sent with his request.
RetryName = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """What is kept of a certificate until a day after its expiry. ``outcome`` None: still with the token.

    ``subject`` is the identity, or ``host:NAME``, that it is for, and ``groups`` those of a provider that it
    rests on; ``delegate`` is who asked for it on his behalf, ``enroller`` who asked for a host's, and
    ``asked_ms`` when that was. ``subject_key`` is the SHA-256 of the key that
    was certified, ``ca_key`` the fingerprint of the one that signs. ``outcome_seq`` is the outcome's entry,
    ``retry`` what a repeated request would be known by. ``revoked``: the serial counts as revoked, by the
    entry ``revoked_seq`` or because there was no good outcome.
    """

    seq: int
    subject: str
    subject_key: bytes
    ca_key: str
    valid_after: int
    valid_before: int
    groups: tuple[str, ...] = ()
    delegate: str | None = None
    enroller: str | None = None
    asked_ms: int = 0
    outcome: Literal["issued", "failed", "abandoned"] | None = None
    outcome_seq: int = 0
    revoked: bool = False
    revoked_seq: int = 0
    retry: RetryName | None = None

    @property
    def requester(self) -> str:
        """Who asked for it."""
        return self.delegate or self.enroller or self.subject

    @property
    def may_exist(self) -> bool:
        """Whether the token has signed it, or may have; what failed before it was asked does not exist."""
        return self.outcome in {None, "issued"} or self.revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Retryable:
    """A request that was sent with a key, by its SHA-256, and the intents that came of it."""

    request: str
    intents: tuple[int, ...]
