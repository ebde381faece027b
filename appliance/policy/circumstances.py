"""What a decision rests on besides policy, request and moment: what the ledger holds about who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.identity.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A leave, from ``starts_s`` up to and not including ``ends_s``, in Unix seconds."""

    starts_s: int
    ends_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What others have allowed the requester: to rest on ``grant`` until ``ends_s``.

    ``seq`` is the entry that asked for it; ``given_by`` are persons, or identities that no person has.
    """

    seq: int
    grant: str
    given_by: frozenset[str]
    ends_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Those of one request.

    ``leaves`` of the requester's person that are not over, or have been for less than a minute, by their
    start; ``delegate`` is who asks on the requester's behalf, if it is not the requester.
    """

    leaves: tuple[Away, ...] = ()
    approvals: tuple[Approval, ...] = ()
    delegate: Identity | None = None


PLAIN: Final = Circumstances()
