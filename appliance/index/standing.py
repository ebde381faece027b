"""The locks in force and the leaves that are not over, as the ledger has them: what a plan looks at."""

from __future__ import annotations

import json

from appliance.authority.fold.leaves import Leaves
from appliance.index.queries import Snapshot
from appliance.policy.planning.standing import Standing


def read_standing(snapshot: Snapshot, now_s: int) -> Standing:
    """Return what bars whom at a moment."""
    leaves = Leaves()
    sql = "SELECT * FROM leave WHERE ended IS NULL AND ends_s > :now ORDER BY seq"
    for row in snapshot.rows(sql, now=now_s):
        leaves.book(row["seq"], {**row, "identities": json.loads(row["identities"])})
    return Standing(now_s=now_s, locks=snapshot.locks(), leaves=leaves)
