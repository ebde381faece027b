"""Lists in pages: a cursor is where the last page ended, and every cursor of the right form is a position.

So nothing is kept between pages, and what is added or removed meanwhile disturbs none of the others. Callers
take cursors as they are given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from appliance.errors import malformed
from appliance.index.queries import MAX_PAGE, Snapshot
from appliance.index.records import CredentialRecord, HostRecord, LockRecord, host_of, lock_of
from appliance.policy.roles import ALL, Customers

HOST_CURSOR: Final = r"^([0-9a-f]{2}){1,253}$"  # the name's bytes
CREDENTIAL_CURSOR: Final = r"^[0-7][0-9a-f]{11}[0-9a-f]{16}$"  # milliseconds and id
LOCK_CURSOR: Final = r"^[0-9a-f]{1,15}$"  # the entry that placed it
_FIRST: Final = (2**62, "")

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[_Record]):
    """Some records, in the list's order, and where the next ones begin."""

    records: tuple[_Record, ...]
    cursor: str | None
    size: int


def list_hosts(
    snapshot: Snapshot, *, cursor: str | None, limit: int, customers: Customers = ALL
) -> Listed[HostRecord]:
    """Return some of the hosts that are registered now, by name; of these customers, if not of all.

    Raises:
        Refusal: ``malformed-request``; the cursor or the limit is none.
    """
    after = "" if cursor is None else bytes.fromhex(check_cursor(HOST_CURSOR, cursor)).decode("latin-1")
    rows = snapshot.rows(
        "SELECT * FROM host WHERE until_seq >= :size AND name > :after"
        " AND (:customers IS NULL OR customer IN (SELECT value FROM json_each(:customers)))"
        " ORDER BY name LIMIT :limit",
        customers=None if customers is None else json.dumps(sorted(customers)),
        size=snapshot.size,
        after=after,
        limit=check_limit(limit) + 1,
    )
    return cut(snapshot, [host_of(row) for row in rows], limit, lambda host: host.name.encode().hex())


def list_credentials(snapshot: Snapshot, *, cursor: str | None, limit: int) -> Listed[CredentialRecord]:
    """Return some of the API credentials, newest first; raises as :func:`list_hosts`."""
    before_ms, before_id = _FIRST
    if cursor is not None:
        check_cursor(CREDENTIAL_CURSOR, cursor)
        before_ms, before_id = int(cursor[:12], 16), cursor[12:]
    rows = snapshot.rows(
        "SELECT * FROM credential WHERE (created_ms, id) < (:ms, :id) "
        "ORDER BY created_ms DESC, id DESC LIMIT :limit",
        ms=before_ms,
        id=before_id,
        limit=check_limit(limit) + 1,
    )
    found = [CredentialRecord(**row) for row in rows]
    return cut(snapshot, found, limit, lambda each: f"{each.created_ms:012x}{each.id}")


def list_locks(snapshot: Snapshot, *, lifted: bool, cursor: str | None, limit: int) -> Listed[LockRecord]:
    """Return some of the locks, newest first: those in force, or all; raises as :func:`list_hosts`."""
    rows = snapshot.rows(
        "SELECT * FROM lock WHERE until_seq >= :until AND seq < :before ORDER BY seq DESC LIMIT :limit",
        until=0 if lifted else snapshot.size,
        before=2**62 if cursor is None else int(check_cursor(LOCK_CURSOR, cursor), 16),
        limit=check_limit(limit) + 1,
    )
    found = [lock_of(row) for row in rows]
    return cut(snapshot, found, limit, lambda each: f"{each.lock.seq:x}")


def cut(snapshot: Snapshot, found: Sequence[Any], limit: int, position: Callable[[Any], str]) -> Listed[Any]:
    """Make a page of what was found; one more than fits says that there is a next one."""
    cursor = position(found[limit - 1]) if len(found) > limit else None
    return Listed(records=tuple(found[:limit]), cursor=cursor, size=snapshot.size)


def check_cursor(pattern: str, cursor: str) -> str:
    """Check that a cursor is of a list's pattern, and return it; raises as :func:`list_hosts`."""
    if re.fullmatch(pattern, cursor) is None:
        raise malformed("cursor", "expected one that an earlier page gave")
    return cursor


def check_limit(limit: int) -> int:
    """Check how many are asked for, and return that; raises as :func:`list_hosts`."""
    if not 0 < limit <= MAX_PAGE:
        raise malformed("limit", f"got {limit}, expected 1 to {MAX_PAGE}")
    return limit
