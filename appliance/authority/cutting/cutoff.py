"""What cuts certificates off: a ``certificate.revoked`` for each that is live or may exist. Pure.

What has only begun counts too: an intent without an outcome, whose certificate is then not released, and what
failed or was abandoned after the token was asked, whose signature may be somewhere. Such serials count as
revoked anyway; whoever cuts a person off has each of them named on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from appliance.authority.events import CertificateRevoked, Event
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import KEPT_AFTER_EXPIRY_S, State
from appliance.identity.identity import Identity, IdentityData

# Of one command, so that nobody else waits long for the writer; what is left is for further commands.
MAX_CUT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What one command revokes, an entry for each, and how many certificates it leaves for the next one."""

    certificates: tuple[IssuedCertificate, ...]
    events: tuple[Event, ...]
    left: int


def cut_off(
    state: State,
    certificates: Iterable[IssuedCertificate],
    *,
    reason: str,
    by: Identity | int,
    now_s: int,
    most: int = MAX_CUT,
) -> Cut:
    """Return the entries that revoke these certificates, as far as they can still be used.

    ``by`` is who does it, or the seq of the entry that causes it. What no outcome has released yet comes
    first, so that nothing is released while a cut goes on in further commands.
    """
    cut = sorted(find_live(certificates, now_s), key=lambda each: (each.outcome is not None, each.seq))
    data = by if isinstance(by, int) else by.to_data()
    events = tuple(_revoke(state, each, reason, data) for each in cut[:most])
    return Cut(certificates=tuple(cut[:most]), events=events, left=max(0, len(cut) - most))


def find_live(certificates: Iterable[IssuedCertificate], now_s: int) -> list[IssuedCertificate]:
    """Return those that a host may still take, or could if they exist, and that no entry has revoked."""
    return [each for each in certificates if each.may_exist and not each.revoked_seq and _lasts(each, now_s)]


def held_by(state: State, subjects: Iterable[str]) -> list[IssuedCertificate]:
    """Return the certificates for these subjects: ``provider:subject`` each, or ``host:NAME``."""
    return _find(state, state.by_subject, subjects)


def asked_by(state: State, delegates: Iterable[str]) -> list[IssuedCertificate]:
    """Return the certificates that these identities have asked for on behalf of others."""
    return _find(state, state.by_delegate, delegates)


def _find(
    state: State, seqs_by_name: Mapping[str, Iterable[int]], names: Iterable[str]
) -> list[IssuedCertificate]:
    seqs = chain.from_iterable(seqs_by_name.get(name, ()) for name in names)
    return [state.certificates[seq] for seq in seqs]


def _lasts(certificate: IssuedCertificate, now_s: int) -> bool:
    """Say whether a host may still take it; one whose clock is a day behind does after its expiry."""
    return certificate.valid_before + KEPT_AFTER_EXPIRY_S >= now_s


def _revoke(state: State, certificate: IssuedCertificate, reason: str, by: IdentityData | int) -> Event:
    data = CertificateRevoked(serial=str(state.serial(certificate.seq)), reason=reason, by=by)
    return Event(kind="certificate.revoked", data=data)
