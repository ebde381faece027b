"""Refusals on record without a flood: the first at once, those like it counted and written every ten seconds.

Like it are those of the same identity by the same rule. Beyond a number of identities, which who invents them
reaches at once, like it are those by the same rule: the entry then shows the last of them, and the count is
of all. So there are at most so many entries in ten seconds, whatever is asked and by however many.

A crash loses at most counts; that there were refusals is on record from the first one.

Nothing that is asked keeps refusals out of the ledger: what is long is recorded short, and what has no entry
after all is told, by itself, and stays counted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.authority.events import CertificateDenied, Event
from appliance.authority.fold.state import State
from appliance.authority.issuing.shortening import MAX_IDENTITY, MAX_REQUEST, shorten
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from audit.entry import FIRST_PREV, MAX_INTEGER, encode_entry
from audit.errors import EntryError

log = logging.getLogger(__name__)

INTERVAL_MS: Final = 10_000
# Identities and rules that are told apart. Two entries for each in ten seconds are what a ledger can bear for
# years, and more than ever fail at once where nobody attacks.
MAX_TRACKED: Final = 64
# In the place of an identity; none is written like this.
_ANYONE: Final = "*"


@dataclass(slots=True)
class _Run:
    """Refusals by one rule since the last entry about them; the identity and the request of the last one."""

    identity: Identity
    request: Mapping[str, object]
    on_behalf_of: Identity | None
    written_ms: int
    first_ms: int = 0
    last_ms: int = 0
    count: int = 0


class Denials:
    """Counts refusals; used by the writer's thread alone."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], _Run] = {}

    def count(
        self,
        identity: Identity,
        request: Mapping[str, object],
        rule: str,
        *,
        now_ms: int,
        on_behalf_of: Identity | None = None,
    ) -> Event | None:
        """Count a refusal; return the entry to write, if this one is written at once.

        Raises:
            EntryError: it is to be written and has no entry; then it is not counted either, and the next is.
        """
        key = (str(identity), rule)
        if key not in self._runs and len(self._runs) >= MAX_TRACKED:
            key = (_ANYONE, rule)
        run = self._runs.get(key)
        if run is None:
            run = _Run(identity, request, on_behalf_of, now_ms, first_ms=now_ms, last_ms=now_ms, count=1)
            event = _event(run, rule)
            self._runs[key] = run
            run.count = 0
            return event
        run.first_ms = run.first_ms if run.count else now_ms
        run.last_ms, run.identity, run.request, run.on_behalf_of = now_ms, identity, request, on_behalf_of
        run.count += 1
        return None

    def take_due(self, now_ms: int) -> list[Event]:
        """Return the entries that are due, and forget the identities whose refusals have stopped.

        Every one of them has an entry: they are recorded together or not at all.
        """
        events = []
        for key, run in list(self._runs.items()):
            if now_ms - run.written_ms < INTERVAL_MS:
                continue
            if run.count == 0:
                del self._runs[key]
                continue
            try:
                events.append(_event(run, key[1]))
            except EntryError as error:
                log.error("%d refusals by %r are not on record yet: %s", run.count, key[1], error)  # noqa: TRY400
                continue
            run.written_ms, run.count = now_ms, 0
        return events


class RecordDenials:
    """Records the counts that are due; at the end, ``all_of_them``."""

    def __init__(self, denials: Denials, *, all_of_them: bool = False) -> None:
        self._denials = denials
        self._ahead_ms = INTERVAL_MS if all_of_them else 0

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - counts depend on no state
        """Record them."""
        events = self._denials.take_due(at.time_ms + self._ahead_ms)
        return Decided(events=events, after=lambda _entries: None)

    def refuse(self, refusal: Refusal) -> None:
        """Log what is lost: a count, never the first refusal."""
        log.error("counts of refusals could not be recorded: %s", refusal)


def _event(run: _Run, rule: str) -> Event:
    """Return the entry about a run.

    Raises:
        EntryError: it would be none, at whatever place in the ledger.
    """
    identity, identity_sha256 = shorten(run.identity.to_data(), MAX_IDENTITY)
    request, request_sha256 = shorten(run.request, MAX_REQUEST)
    data = CertificateDenied(
        identity=identity,
        request=request,
        rule=rule,
        first_ms=run.first_ms,
        last_ms=run.last_ms,
        count=run.count,
    )
    shortened = {"identity": identity_sha256, "request": request_sha256}
    if run.on_behalf_of is not None:
        data["on_behalf_of"], shortened["on_behalf_of"] = shorten(run.on_behalf_of.to_data(), MAX_IDENTITY)
    cut = {name: sha256 for name, sha256 in shortened.items() if sha256 is not None}
    if cut:
        data["shortened"] = cut
    event = Event(kind="certificate.denied", data=data)
    encode_entry(kind=event.kind, v=1, data=event.data, prev=FIRST_PREV, seq=MAX_INTEGER, time_ms=MAX_INTEGER)
    return event
