"""Shelves: where the index keeps a certificate, so that what can answer a question stands together.

A shelf is one small number, and stands in every index of the tables between what is searched for and the
seq. It says three things: whether the certificate is a user's or a host's; whether it is issued or pending,
revoked, or failed; and how long it lives, rounded up to a power of two of seconds. The last is what makes a
moment of the past cheap. What lives at most an hour and is live at a moment was recorded in the hour before:
on each shelf that is one range of seqs, of which most is live, however long the ledger is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.ssh.content import CertificateType

REVOKED: Final = 1 << 5
FAILED: Final = 1 << 6
HOST: Final = 1 << 7
_LONGEST: Final = REVOKED - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A shelf, and between what times the certificates that ever stood on it live after they are recorded."""

    number: int
    shortest_s: int
    longest_s: int

    @property
    def is_host(self) -> bool:
        """Whether host certificates stand here, rather than users'."""
        return bool(self.number & HOST)

    @property
    def is_failed(self) -> bool:
        """Whether what stands here was never issued."""
        return bool(self.number & FAILED)

    @property
    def is_revoked(self) -> bool:
        """Whether what stands here was revoked, sooner or later; what failed is not shown as revoked."""
        return bool(self.number & REVOKED) and not self.is_failed

    def takes(self, lifetime_s: int) -> bool:
        """Say whether the times cover that of one more certificate."""
        return self.shortest_s <= lifetime_s <= self.longest_s

    def with_one(self, lifetime_s: int) -> Shelf:
        """Return the shelf with a certificate that lives so long."""
        shortest_s, longest_s = min(self.shortest_s, lifetime_s), max(self.longest_s, lifetime_s)
        return Shelf(number=self.number, shortest_s=shortest_s, longest_s=longest_s)

    def oldest_live_ms(self, at_s: int) -> int:
        """Return the moment before which nothing was recorded that is valid at ``at_s``."""
        return 1000 * (at_s - self.longest_s + 1)

    def newest_expired_ms(self, at_s: int) -> int:
        """Return the moment from which on nothing was recorded that has expired at ``at_s``."""
        return 1000 * (at_s - self.shortest_s + 1)


def shelf_number(type_: CertificateType, lifetime_s: int) -> int:
    """Return the number of the shelf for a certificate that lives so long after it was recorded."""
    doublings = min(_LONGEST, (max(1, lifetime_s) - 1).bit_length())
    return doublings | (HOST if type_ is CertificateType.HOST else 0)
