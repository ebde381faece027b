"""Feeds, brought into the ledger: the edge between a calendar's reader, the index and the authority."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from appliance.authority.cutting.leaving import LeaveBody, LeaveSourceBody
from appliance.calendars.feeds import FeedState, load_state, store_state
from appliance.calendars.reading import Source, UnreadableFeed, read_source
from appliance.calendars.sync import Assignment, Changes, Shown, Standing, assign, compare
from appliance.cli.console import Shell
from appliance.clock import now_ms
from appliance.config import Config, FeedTable
from appliance.errors import ChanceryError, Refusal
from appliance.index.leave import LeaveFilter, LeaveRecord, list_leaves
from appliance.index.queries import MAX_PAGE, Index, Snapshot
from appliance.policy.document import Policy
from appliance.policy.zones import load_zone
from appliance.requests import check_body

log = logging.getLogger(__name__)

_WATCH_STEP_S: Final = 1.0
# What the index may be behind the ledger by, in seconds, before a look at a feed is put off.
_INDEX_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What came of one look at a feed; leave is told by the entry that booked it."""

    name: str
    events: int = 0
    booked: tuple[int, ...] = ()
    withdrawn: tuple[int, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        data: dict[str, Any] = {
            "feed": self.name,
            "events": self.events,
            "booked": list(self.booked),
            "withdrawn": list(self.withdrawn),
        }
        return data | ({"problem": self.problem} if self.problem else {})


def sync_feed(shell: Shell, feed: FeedTable, at_ms: int, *, at_once: bool) -> Synced | None:
    """Read a feed and bring the ledger up to it; None if it is not its time yet.

    Raises:
        Refusal: the authority does not run.
    """
    config = shell.config()
    known = load_state(config, feed.name)
    if not at_once and not known.is_due(feed, at_ms):
        return None
    try:
        done = _sync(shell, config, feed, at_ms // 1000)
    except UnreadableFeed as error:
        done = Synced(name=feed.name, problem=str(error))
    except Refusal as refusal:
        if refusal.slug == "ledger-unavailable":
            raise
        done = Synced(name=feed.name, problem=refusal.detail)
    _remember(config, known, done, at_ms)
    return done


def watch_feeds(shell: Shell, feeds: Sequence[FeedTable]) -> NoReturn:
    """Read each feed in its interval, for ever; an authority that is away is waited for."""
    while True:
        for feed in feeds:
            try:
                done = sync_feed(shell, feed, now_ms(), at_once=False)
            except ChanceryError as error:  # such as: there is no authority, or no index
                log.warning("feed %s: %s", feed.name, error)
                break
            if done is not None and done.problem:
                log.warning("feed %s: %s", feed.name, done.problem)
        time.sleep(_WATCH_STEP_S)


def _sync(shell: Shell, config: Config, feed: FeedTable, at_s: int) -> Synced:
    events = read_source(_source(config, feed), at_s)
    with _settled(shell, config) as snapshot:
        policy = snapshot.policy() or Policy()
        standing = [_standing(policy, each) for each in _read(snapshot, LeaveFilter(feed=feed.name), at_s)]
        wanted = LeaveFilter(feed=feed.name, overruled=True)
        overruled = {
            (policy.who_is(each.person), each.starts_s, each.booked_ends_s)
            for each in _read(snapshot, wanted, at_s)
        }
    shown = [replace(each, person=policy.who_is(each.person)) for each in assign(events, _assignment(feed))]
    unknown = sorted({each.person for each in shown if not _exists(policy, each.person)})
    known = [each for each in shown if each.person not in unknown]
    changes = compare(known, standing, at_s, overruled)
    done = _carry_out(shell, feed, changes)
    problem = f"the policy has no person {', '.join(unknown[:5])}" if unknown else ""
    return replace(done, events=len(shown), problem=problem)


def _carry_out(shell: Shell, feed: FeedTable, changes: Changes) -> Synced:
    booked = [shell.ask("leave.book", body=_body(feed, each))["seq"] for each in changes.book]
    for each in changes.withdraw:
        shell.ask("leave.withdraw", leave=each)
    return Synced(name=feed.name, booked=tuple(booked), withdrawn=changes.withdraw)


def _body(feed: FeedTable, shown: Shown) -> dict[str, Any]:
    source = check_body(LeaveSourceBody, {"feed": feed.name, "uid": shown.uid})
    body = LeaveBody(
        person=shown.person,
        starts_s=shown.starts_s,
        ends_s=shown.ends_s,
        timezone=feed.timezone,
        source=source,
    )
    return body.model_dump(exclude_none=True)


def _settled(shell: Shell, config: Config) -> Any:
    """Open the index once it covers all that the authority has on record now."""
    size = shell.ask("status")["size"]
    index = Index(config.index)
    if index.wait_for(size, _INDEX_WAIT_S) < size:
        raise Refusal("ledger-unavailable", "the index is behind the ledger; try again later")
    return index.snapshot()


def _read(snapshot: Snapshot, wanted: LeaveFilter, at_s: int) -> Iterator[LeaveRecord]:
    cursor = None
    while True:
        page = list_leaves(snapshot, wanted, now_s=at_s, cursor=cursor, limit=MAX_PAGE)
        yield from page.records
        cursor = page.cursor
        if cursor is None:
            return


def _standing(policy: Policy, record: LeaveRecord) -> Standing:
    return Standing(
        leave=record.seq,
        person=policy.who_is(record.person),
        starts_s=record.starts_s,
        ends_s=record.ends_s,
        withdrawn=record.withdrawn_ms is not None,
    )


def _exists(policy: Policy, person: str) -> bool:
    return ":" in person or person in policy.persons


def _source(config: Config, feed: FeedTable) -> Source:
    return Source(
        url=feed.url,
        file=None if feed.file is None else config.path(feed.file),
        zone=load_zone(feed.timezone),
        max_bytes=feed.max_bytes,
        timeout_s=feed.timeout_s,
        ca=None if feed.ca is None else config.path(feed.ca),
        user=None if config.users is None else config.users.index,
    )


def _assignment(feed: FeedTable) -> Assignment:
    return Assignment(
        person=feed.person,
        organizers={address.lower(): person for address, person in feed.organizers.items()},
        attendees={address.lower(): person for address, person in feed.attendees.items()},
        summary=feed.summary,
        only_all_day=feed.only_all_day,
        containing=feed.containing,
    )


def _remember(config: Config, known: FeedState, done: Synced, at_ms: int) -> None:
    read_ms = known.read_ms if done.problem else at_ms
    events = known.events if done.problem else done.events
    store_state(config, replace(known, tried_ms=at_ms, read_ms=read_ms, events=events, problem=done.problem))
