"""Who has access to what: live certificates, and the hosts that their principals reach, at any moment.

What this shows is what certificates allow on hosts that are set up as registered. Sessions that are open
outlive their certificates, and a host that was not told of a revocation does not know of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import Refusal, malformed
from appliance.index.queries import Snapshot
from appliance.index.records import HostRecord
from appliance.policy.document import HostGroup, Policy
from appliance.policy.evaluate import Host

MAX_ROWS: Final = 10_000

_LIVE: Final = """
SELECT certificate.seq, serial, subject, certificate.customer, key_id, key_fingerprint, valid_after,
       valid_before, grants, principal, login, host_group
FROM certificate JOIN principal ON principal.certificate = certificate.seq
WHERE certificate.type = 'user' AND outcome = 'issued' AND outcome_ms <= :at_ms
  AND valid_after <= :at_s AND valid_before > :at_s AND (revoked_ms IS NULL OR revoked_ms > :at_ms)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessQuery:
    """What is asked; None asks for all. ``at_ms`` is any moment of the past, or now."""

    at_ms: int
    subject: str | None = None
    host: str | None = None
    host_group: str | None = None
    login: str | None = None
    customer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One principal of one live certificate: who, as whom, where, until when and why."""

    subject: str
    login: str
    principal: str
    customer: str
    host_groups: tuple[str, ...]
    hosts: tuple[str, ...]
    serial: str
    key_id: str
    key_fingerprint: str
    valid_after: int
    valid_before: int
    grants: tuple[str, ...]


def find_access(snapshot: Snapshot, query: AccessQuery) -> list[Access]:
    """Return every live principal that the question covers, by subject, login and host group.

    Raises:
        Refusal: ``not-found``, the host was not registered then; ``malformed-request``, there are too many.
    """
    policy = snapshot.policy(query.at_ms)
    if policy is None:
        return []
    places = _Places(policy, snapshot.hosts(query.at_ms))
    if query.host is not None and query.host not in places.hosts:
        raise Refusal("not-found", f"the host {query.host} is not registered, or was not at that moment")
    found = [access for row in _live_rows(snapshot, query) for access in places.reach(row, query)]
    return sorted(found, key=lambda access: (access.subject, access.principal, access.serial))


def _live_rows(snapshot: Snapshot, query: AccessQuery) -> Iterable[Mapping[str, Any]]:
    values: dict[str, object] = {"at_ms": query.at_ms, "at_s": query.at_ms // 1000}
    sql = _LIVE
    for column, value in (("subject", query.subject), ("login", query.login)):
        if value is not None:
            sql += f" AND {column} = :{column}"
            values[column] = value
    if query.customer is not None:
        sql += " AND certificate.customer = :customer"
        values["customer"] = query.customer
    rows = snapshot.rows(f"{sql} ORDER BY certificate.seq LIMIT :limit", **values, limit=MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise malformed("query", f"more than {MAX_ROWS} answers; ask for a subject, host, login or customer")
    return rows


class _Places:
    """Host groups and their hosts, as policy and labels had them at the moment."""

    def __init__(self, policy: Policy, hosts: Iterable[HostRecord]) -> None:
        self._groups = policy.host_groups
        self.hosts = {host.name: _as_host(host) for host in hosts}
        self._members = {
            group.name: tuple(host.name for host in self.hosts.values() if host.is_in(group))
            for group in policy.host_groups.values()
        }

    def reach(self, row: Mapping[str, Any], query: AccessQuery) -> Iterator[Access]:
        """Yield what a principal reaches, if the question covers it."""
        groups = [group.name for group in self._groups_of(row)]
        hosts = sorted({host for group in groups for host in self._members[group]})
        if query.host_group is not None and query.host_group not in groups:
            return
        if query.host is not None and query.host not in hosts:
            return
        yield Access(
            subject=row["subject"],
            login=row["login"],
            principal=row["principal"],
            customer=row["customer"],
            host_groups=tuple(groups),
            hosts=tuple(hosts),
            serial=row["serial"],
            key_id=row["key_id"],
            key_fingerprint=row["key_fingerprint"],
            valid_after=row["valid_after"],
            valid_before=row["valid_before"],
            grants=tuple(grant["name"] for grant in json.loads(row["grants"])),
        )

    def _groups_of(self, row: Mapping[str, Any]) -> Iterator[HostGroup]:
        """Yield the groups that a principal names: one, or all of the customer's that take bare logins."""
        for group in self._groups.values():
            if group.customer != row["customer"]:
                continue
            named = row["host_group"] == group.name and group.principals == "group"
            bare = row["host_group"] is None and group.principals == "login"
            if named or bare:
                yield group


def _as_host(host: HostRecord) -> Host:
    return Host(
        name=host.name,
        customer=host.customer,
        names=host.names,
        labels=tuple(host.labels.items()),
        seq=host.seq,
    )
