"""Shelves: where the index keeps a certificate, so that what can answer a question stands together.

A shelf is one small number, and stands in every index of the tables between what is searched for and the
seq. It says three things: whether the certificate is a user's or a host's; whether it is issued or pending,
revoked, or failed; and how long it lives, rounded up to a power of two of seconds. The last is what makes a
moment of the past cheap. A certificate that lives at most 2^n s and is live at a moment was recorded in the
2^n s before: one range of seqs on each shelf, about half of which is live, however long the ledger is.
"""

from __future__ import annotations

from typing import Final

from appliance.ssh.content import CertificateType

REVOKED: Final = 1 << 5
FAILED: Final = 1 << 6
HOST: Final = 1 << 7
_LIFETIME: Final = REVOKED - 1


def shelf_of(type_: CertificateType, *, recorded_s: int, valid_before: int) -> int:
    """Return the shelf of a certificate that was just recorded."""
    lifetime_s = max(1, valid_before - recorded_s)
    doublings = min(_LIFETIME, (lifetime_s - 1).bit_length())
    return doublings | (HOST if type_ is CertificateType.HOST else 0)


def is_host(shelf: int) -> bool:
    """Say whether host certificates stand here, rather than users'."""
    return bool(shelf & HOST)


def is_failed(shelf: int) -> bool:
    """Say whether what stands here was never issued."""
    return bool(shelf & FAILED)


def is_revoked(shelf: int) -> bool:
    """Say whether what stands here was revoked, sooner or later; what failed is not shown as revoked."""
    return bool(shelf & REVOKED) and not is_failed(shelf)


def oldest_live_ms(shelf: int, at_s: int) -> int:
    """Return the moment before which nothing was recorded that is on this shelf and valid at ``at_s``."""
    doublings = shelf & _LIFETIME
    # The last shelf takes everything that lives longer still.
    return 0 if doublings == _LIFETIME else 1000 * max(0, at_s - (1 << doublings) + 1)


def newest_expired_ms(shelf: int, at_s: int) -> int:
    """Return the moment from which on nothing was recorded that is on this shelf and expired at ``at_s``."""
    doublings = shelf & _LIFETIME
    # On the first shelf a certificate may have been expired when it was recorded.
    return 1 << 62 if doublings == 0 else 1000 * max(0, at_s - (1 << doublings - 1))
