"""Who has access to what, at any moment: by the certificates that were live, or by the policy in force.

By certificates it shows who *can* log in, on hosts that are set up as registered: sessions that are open
outlive their certificates, and a host that was not told of a revocation does not know of it. By policy it
shows who *could* obtain a certificate, whether or not he ever asked. docs/access.md says more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, Literal, TypeAlias

from appliance.errors import malformed
from appliance.explanations import no_person
from appliance.index.cursors import cursor_pattern, format_cursor, parse_cursor
from appliance.index.granted import GrantedAccess, find_granted
from appliance.index.live import LiveQuery, Principal, find_live, find_principals, principals_of_login
from appliance.index.prefix import Prefix
from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE, Snapshot
from appliance.index.records import CertificateRecord
from appliance.index.scene import Place, Scene, open_scene
from appliance.policy.roles import ALL, Customers, narrow

Basis = Literal["certificates", "policy"]

# The place of a row: of a certificate's principal its number, and zeros; of a grant's its line.
ACCESS_CURSOR: Final = cursor_pattern(4)
_NEWEST: Final = (2**62, 0, 0, 0)
_START: Final = (-1, -1, -1, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessQuery:
    """What is asked; None asks for all. ``at_ms`` is any moment of the past, or now.

    ``subject`` is an identity or a provider's group, or a person, whose accounts are then all asked for.
    ``customers`` are all that whoever asks may see the access to.
    """

    at_ms: int
    basis: Basis = "certificates"
    subject: str | None = None
    host: str | None = None
    host_group: str | None = None
    login: str | None = None
    customer: str | None = None
    customers: Customers = ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedAccess:
    """One principal of one live certificate. ``ca_phase`` is its CA key's at the moment, or ``halted``."""

    place: Place
    login: str
    principal: str
    ca_phase: str
    certificate: CertificateRecord


Access: TypeAlias = CertifiedAccess | GrantedAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPage:
    """Some rows of the answer, and where the next ones begin. ``policy`` was in force at the moment."""

    rows: tuple[Access, ...]
    cursor: str | None
    prefix: Prefix
    policy: int | None


def find_access(
    snapshot: Snapshot, query: AccessQuery, *, cursor: str | None = None, limit: int = DEFAULT_PAGE
) -> AccessPage:
    """Return a page of who has access: certificates newest first, grants in the order of the document.

    All pages of one answer are of one moment and of the ledger as it was at one size.

    Raises:
        Refusal: ``not-found``, the host, the host group or the person was none at that moment;
            ``malformed-request``, the cursor or the limit is none; ``ledger-unavailable``, the index does not
            cover the cursor's size.
    """
    if not 0 < limit <= MAX_PAGE:
        raise malformed("limit", f"got {limit}, expected 1 to {MAX_PAGE}")
    by_policy = query.basis == "policy"
    after: tuple[int, ...] = _START if by_policy else _NEWEST
    prefix = snapshot.prefix(query.at_ms)
    if cursor is not None:
        after, size, at_ms = parse_cursor(cursor, ACCESS_CURSOR)
        prefix = snapshot.prefix(at_ms, size)
    scene = open_scene(
        snapshot, prefix, host=query.host, host_group=query.host_group, customers=query.customers
    )
    rows = _by_policy(scene, query, after) if by_policy else _by_certificates(scene, query, after[0])
    found = list(islice(rows, limit + 1))
    more = len(found) > limit
    return AccessPage(
        rows=tuple(row for _, row in found[:limit]),
        cursor=format_cursor(after=found[limit - 1][0], size=prefix.size, at=prefix.at_ms) if more else None,
        prefix=prefix,
        policy=scene.policy_seq,
    )


def _by_certificates(
    scene: Scene, query: AccessQuery, before: int
) -> Iterator[tuple[tuple[int, ...], Access]]:
    """Yield the rows of every customer that may be seen, the newest certificate first."""
    subjects = _find_subjects(scene, query)
    seen = query.customers
    customers = [query.customer] if seen is None else narrow(query.customer, seen)
    each = (
        replace(query, subject=subject, customer=customer)
        for subject in ([None] if subjects is None else sorted(subjects))
        for customer in customers
    )
    return merge(*(_of_customer(scene, one, before) for one in each), key=itemgetter(0), reverse=True)


def _find_subjects(scene: Scene, query: AccessQuery) -> frozenset[str] | None:
    """Return whom a question is about: everybody, one, or a person's accounts by the policy of the moment.

    To who sees some customers only, a person that there is not is one who has nothing of theirs.
    """
    if query.subject is None:
        return None
    if ":" in query.subject:
        return frozenset({query.subject})
    person = scene.policy.persons.get(query.subject)
    if person is None and query.customers is None:
        raise no_person(query.subject)
    return frozenset(() if person is None else person.identities)


def _of_customer(scene: Scene, query: AccessQuery, before: int) -> Iterator[tuple[tuple[int, ...], Access]]:
    wanted = _wanted_principals(scene, query.login)
    live = LiveQuery(
        prefix=scene.prefix,
        before=before,
        subject=query.subject,
        customer=query.customer,
        principals=None if wanted is None else wanted.keys(),
    )
    for found in find_live(scene.snapshot, live):
        principal, record = found.principal, scene.certificate(found.seq)
        if query.customer not in {None, record.customer}:
            continue
        if wanted is not None and wanted[principal] and record.customer not in wanted[principal]:
            continue
        yield (
            (found.holding, 0, 0, 0),
            CertifiedAccess(
                place=scene.place(scene.takers(principal.host_group, record.customer)),
                login=principal.login,
                principal=principal.name,
                ca_phase=scene.key_phase(record.ca, record.ca_key),
                certificate=record,
            ),
        )


def _wanted_principals(scene: Scene, login: str | None) -> Mapping[Principal, set[str]] | None:
    """Return the principals that are asked for, each with the customers it counts for, or none for any."""
    if scene.groups is None:
        if login is None:
            return None
        return {principal: set() for principal in principals_of_login(scene.snapshot, login)}
    wanted: defaultdict[Principal, set[str]] = defaultdict(set)
    for group in scene.groups:
        bare = group.principals == "login"
        for principal in find_principals(scene.snapshot, login=login, host_group=group.name, bare=bare):
            wanted[principal].add(group.customer)
    return wanted


def _by_policy(
    scene: Scene, query: AccessQuery, after: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Access]]:
    seq, subjects = scene.policy_seq, _find_subjects(scene, query)
    if seq is None:
        return
    lines = scene.snapshot.reach(seq, scene.policy).lines(
        subjects=subjects,
        host_groups=None if scene.groups is None else frozenset(group.name for group in scene.groups),
        login=query.login,
        customer=query.customer,
        customers=query.customers,
        after=after,
    )
    yield from find_granted(scene, seq, lines)
