"""What goes on when access is taken away without a revocation: the certificates that are live all the same.

A credential, a grant, a host's registration or a CA's key that is gone gives nothing new. What it gave before
is good until it ends: whoever cuts somebody off has to hear of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from appliance.identity.identity import grantee_of
from appliance.index.cut import describe_record
from appliance.index.queries import MAX_PAGE, Index, IndexUnavailable, Snapshot
from appliance.index.records import CertificateRecord
from appliance.index.search import CertificateFilter, find_certificates
from appliance.policy.document import Policy
from appliance.policy.plan import Plan

Select = Callable[[CertificateRecord], bool]

# As many as a cut shows of those that were live.
MAX_SHOWN: Final = 100
# So many certificates are looked at for each question, and so many losses of a policy.
_MAX_EXAMINED: Final = 2_000
_MAX_LOSSES: Final = 200
_WAIT_S: Final = 1.0
# How a plan writes a provider's group, and what only a service loses.
_GROUP: Final = "group "
_SERVICE: Final = "service "
_SESSIONS: Final = "sessions that are open go on too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a policy changes, and the one that was in force before it."""

    plan: Plan
    before: Policy


def credential_going_on(index: Index, id_: str, done: Mapping[str, Any], now_s: int) -> dict[str, Any]:
    """Render the live certificates of whom a revoked credential identified, by whatever he obtained them."""
    known = "its subject"

    def find(snapshot: Snapshot) -> Iterator[CertificateRecord]:
        nonlocal known
        credential = snapshot.credential(id_)
        if credential is None:
            return iter(())
        kind = {"host": credential.subject} if credential.kind == "host" else {}
        known = f"host:{credential.subject}" if kind else f"api:{credential.subject}"
        wanted = CertificateFilter(state="active", host=credential.subject, type="host")
        return _find(snapshot, now_s, wanted if kind else CertificateFilter(state="active", subject=known))

    return _render(
        index, int(done.get("seq", -1)) + 1, find, lambda: f"`cert revoke --subject {known}` ends them"
    )


def host_going_on(
    index: Index, name: str, entries: Iterable[Mapping[str, Any]], now_s: int
) -> dict[str, Any]:
    """Render the live certificates of a host that was removed."""
    wanted = CertificateFilter(state="active", host=name, type="host")
    remedy = f"`cert revoke --subject host:{name}` ends them"
    return _render(index, _end(entries), lambda snapshot: _find(snapshot, now_s, wanted), lambda: remedy)


def key_going_on(
    index: Index, ca: str, key: str, entries: Iterable[Mapping[str, Any]], now_s: int
) -> dict[str, Any]:
    """Render the live certificates of a CA's key that was retired: whoever holds one is locked out."""

    def find(snapshot: Snapshot) -> Iterator[CertificateRecord]:
        (customer,) = {each.customer for each in snapshot.ca_keys(ca)} or {None}
        wanted = CertificateFilter(state="active", customer=customer)
        return _find(snapshot, now_s, wanted, lambda record: record.ca_key == key)

    return _render(index, _end(entries), find, lambda: "hosts that drop the key take them no more")


def policy_going_on(
    index: Index, changes: Changes, entries: Iterable[Mapping[str, Any]], now_s: int
) -> dict[str, Any]:
    """Render the live certificates of access that a policy took away."""

    def find(snapshot: Snapshot) -> Iterator[CertificateRecord]:
        return _find_lost(snapshot, now_s, changes)

    return _render(index, _end(entries), find, lambda: "`cert revoke` ends each of them")


def _render(
    index: Index,
    size: int,
    find: Callable[[Snapshot], Iterable[CertificateRecord]],
    remedy: Callable[[], str],
) -> dict[str, Any]:
    """Render the certificates that go on, once the index covers ``size``; without an index that is said."""
    try:
        index.wait_for(size, _WAIT_S)
        with index.snapshot() as snapshot:
            found = {record.seq: record for record in find(snapshot)}
            newest = sorted(found.values(), key=lambda record: -record.seq)
            live = [describe_record(snapshot, record) for record in newest[:MAX_SHOWN]]
    except IndexUnavailable:
        return {"note": f"which certificates go on is not known here: see `cert list`; {_SESSIONS}"}
    if not found:
        return {"live": [], "live_count": 0, "note": f"no certificate of it is live; {_SESSIONS}"}
    note = f"these certificates are not revoked by it: {remedy()}; {_SESSIONS}"
    return {"live": live, "live_count": len(found), "note": note}


def _find(
    snapshot: Snapshot, now_s: int, wanted: CertificateFilter, select: Select = lambda _: True
) -> Iterator[CertificateRecord]:
    return islice(filter(select, _search(snapshot, now_s, wanted)), MAX_PAGE)


def _find_lost(snapshot: Snapshot, now_s: int, changes: Changes) -> Iterator[CertificateRecord]:
    """Yield what is live of the access lost; of a provider's group what it has brought somebody."""
    lost = (change for change in changes.plan.changes if change.kind == "loses")
    for change in islice(lost, _MAX_LOSSES):
        principal = changes.before.host_groups[change.host_group].principal(change.login)
        subject = None if change.who.startswith(_GROUP) else change.who.removeprefix(_SERVICE)
        wanted = CertificateFilter(principal=principal, subject=subject, state="active", type="user")
        yield from _find(snapshot, now_s, wanted, partial(_is_by, change.who))


def _is_by(who: str, record: CertificateRecord) -> bool:
    return not who.startswith(_GROUP) or who.removeprefix(_GROUP) in grantee_of(record.intent.data)["groups"]


def _search(snapshot: Snapshot, now_s: int, wanted: CertificateFilter) -> Iterator[CertificateRecord]:
    cursor, examined = None, 0
    while examined < _MAX_EXAMINED:
        page = find_certificates(snapshot, wanted, now_s=now_s, cursor=cursor, limit=MAX_PAGE)
        yield from page.certificates
        cursor, examined = page.cursor, examined + len(page.certificates)
        if cursor is None:
            return


def _end(entries: Iterable[Mapping[str, Any]]) -> int:
    """Return the size of a ledger that has these entries."""
    return max((int(entry["seq"]) for entry in entries), default=-1) + 1
