"""Requests that were sent under a key of their requester's: each is carried out once, and answered again.

The key and the request are on record as hashes. What failed may be tried anew, and so may what was revoked:
nobody may have had it yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import State
from appliance.evidence.credentials import WrongIntent
from audit.entry import Entry


def check_repetition(state: State, entry: Entry) -> None:
    """Check an intent on the state before it.

    Raises:
        WrongIntent: its key came with another request, or with this one, which was carried out.
    """
    data: Mapping[str, Any] = entry.data
    sent, identity = data.get("idempotency"), data["identity"]
    if sent is None:
        return
    known = state.retryable.get((f"{identity['provider']}:{identity['subject']}", sent["key"]))
    if known is None:
        return
    before = [state.certificates[seq] for seq in known.intents]
    if known.request != sent["request"]:
        raise WrongIntent(f"its idempotency key came with another request in entry {before[0].seq}")
    if before[-1].seq != entry.seq - 1 and _is_carried_out(before):
        raise WrongIntent(f"the same request under its key was carried out in entry {before[0].seq}")


def _is_carried_out(certificates: list[IssuedCertificate]) -> bool:
    """Say whether a request has given all that it asked for, or still may."""
    outcomes = {each.outcome for each in certificates}
    if not outcomes <= {None, "issued"}:
        return False
    return None in outcomes or not any(each.revoked for each in certificates)
