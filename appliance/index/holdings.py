"""The ids of holdings: the seq of a certificate's intent, and the place that a principal has in it.

Principals of one certificate count down, so that whoever reads ids from the highest on gets the newest
certificate first, and its principals in their own order.
"""

from __future__ import annotations

from typing import Final

from appliance.ssh.content import MAX_PRINCIPALS

_BITS: Final = (MAX_PRINCIPALS - 1).bit_length()


def holding_id(seq: int, place: int) -> int:
    """Return the id of a certificate's principal."""
    return first_holding(seq) | MAX_PRINCIPALS - 1 - place


def first_holding(seq: int) -> int:
    """Return the lowest id that a principal of the certificate, or of a later one, can have."""
    return seq << _BITS


def seq_of(holding: int) -> int:
    """Return the seq of the certificate whose principal this is."""
    return holding >> _BITS
