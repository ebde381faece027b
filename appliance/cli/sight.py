"""What the command line shows to an auditor of some customers: what is theirs, as over HTTP.

The index is a file. Who may read it can read all of it, with other programs too: this keeps answers to what
they are meant for, and the file's mode keeps the file.
"""

from __future__ import annotations

import os

from appliance.authority.operations.callers import local_identity
from appliance.clock import now_ms
from appliance.errors import Refusal
from appliance.index.queries import Snapshot
from appliance.policy.roles import ALL, Customers, is_seen, seen_customers


def shown_customers(snapshot: Snapshot, act: str) -> Customers:
    """Return the customers whose records ``act`` shows: all, unless whoever asks is an auditor of some."""
    if (policy := snapshot.policy()) is None:
        return ALL
    return seen_customers(policy, local_identity(os.getuid(), now_ms()), act) or ALL


def is_shown(snapshot: Snapshot, act: str, customer: str | None) -> bool:
    """Say whether ``act`` shows what belongs to a customer to whoever runs the command."""
    return is_seen(customer, shown_customers(snapshot, act))


def require_all(snapshot: Snapshot) -> None:
    """Refuse to show an auditor of some customers what is everyone's.

    Raises:
        Refusal: ``policy-denied``.
    """
    if shown_customers(snapshot, "certificate.read") is not ALL:
        raise Refusal("policy-denied", "this is for those who see all customers", rule="certificate.read")
