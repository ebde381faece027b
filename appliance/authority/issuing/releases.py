"""What leaves the authority when certificates were issued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.ssh.certificate import CertificateContent


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedReply:
    """One certificate of a reply: what the caller gets, and what proves it."""

    line: str
    content: CertificateContent
    ca: str
    seq: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What leaves for one request, and the size of the ledger that has all of it on record."""

    certificates: Sequence[IssuedReply]
    ledger_size: int
