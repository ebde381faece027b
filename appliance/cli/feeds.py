"""Feeds, brought into the ledger: the edge between a calendar's reader, the index and the authority."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from appliance.authority.cutting.leaving import LeaveBody
from appliance.calendars.feeds import FeedState, load_state, store_state
from appliance.calendars.reading import Source, UnreadableFeed, read_source
from appliance.calendars.sync import Assignment, Changes, Shown, Standing, assign, compare
from appliance.cli.console import Shell
from appliance.clock import now_ms
from appliance.config import Config, FeedTable
from appliance.errors import ChanceryError, Refusal
from appliance.identity.identity import check_reference
from appliance.index.leave import LeaveFilter, LeaveRecord, list_leaves
from appliance.index.queries import MAX_PAGE, Index, Snapshot
from appliance.policy.document import Policy
from appliance.policy.zones import load_zone
from appliance.requests import check_body

log = logging.getLogger(__name__)

_WATCH_STEP_S: Final = 1.0
_RETRY_S: Final = 5.0
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
    try:
        _remember(config, known, done, at_ms)
    except OSError as error:
        return replace(done, problem=f"how it was found cannot be kept: {error}")
    return done


def watch_feeds(shell: Shell, feeds: Sequence[FeedTable]) -> NoReturn:
    """Read each feed in its interval, for ever; an authority that is away is waited for."""
    while True:
        problems = [problem for feed in feeds if (problem := _watch(shell, feed))]
        time.sleep(_RETRY_S if problems else _WATCH_STEP_S)


def _watch(shell: Shell, feed: FeedTable) -> str:
    try:
        done = sync_feed(shell, feed, now_ms(), at_once=False)
        problem = "" if done is None else done.problem
    except ChanceryError as error:  # such as: there is no authority, or no index
        problem = str(error)
    if problem:
        log.warning("feed %s: %s", feed.name, problem)
    return problem


def _sync(shell: Shell, config: Config, feed: FeedTable, at_s: int) -> Synced:
    shell.ask("status")  # who cannot book now need not ask a stranger's server either
    events = read_source(_source(config, feed), at_s)
    with _settled(shell, config) as snapshot:
        policy = snapshot.policy() or Policy()
        standing = [_standing(policy, each) for each in _read(snapshot, LeaveFilter(feed=feed.name), at_s)]
        wanted = LeaveFilter(feed=feed.name, overruled=True)
        overruled = {
            (policy.who_is(each.person), each.starts_s, each.booked_ends_s, each.uid or "")
            for each in _read(snapshot, wanted, at_s)
        }
    shown = [replace(each, person=policy.who_is(each.person)) for each in assign(events, _assignment(feed))]
    unknown = {each.person for each in shown if not _exists(policy, each.person)}
    # What is shown stands, also of persons that the policy has no more; booked is it of those that it has.
    changes = compare(shown, standing, at_s, overruled)
    book = tuple(each for each in changes.book if each.person not in unknown)
    done = _carry_out(shell, feed, replace(changes, book=book))
    problems = [f"the policy has no person {', '.join(sorted(unknown)[:5])}"] if unknown else []
    return replace(done, events=len(shown), problem="; ".join([*problems, *filter(None, [done.problem])]))


def _carry_out(shell: Shell, feed: FeedTable, changes: Changes) -> Synced:
    """Book and withdraw, each for itself: what one is refused for keeps none of the others back."""
    booked = [book_shown(shell, each, feed.timezone, feed=feed.name) for each in changes.book]
    withdrawn = [ask_unless_refused(shell, "leave.withdraw", leave=each) for each in changes.withdraw]
    refused = [each.detail for each in (*booked, *withdrawn) if isinstance(each, Refusal)]
    return Synced(
        name=feed.name,
        booked=tuple(each["seq"] for each in booked if not isinstance(each, Refusal)),
        withdrawn=tuple(
            seq
            for seq, outcome in zip(changes.withdraw, withdrawn, strict=True)
            if not isinstance(outcome, Refusal)
        ),
        problem=f"{len(refused)} refused, the first: {refused[0]}" if refused else "",
    )


def book_shown(shell: Shell, shown: Shown, zone: str, *, feed: str | None = None) -> Any:
    """Book what a calendar shows, a feed's or a file's; return what came of it, be it a refusal.

    Raises:
        Refusal: the authority does not run.
    """
    fields = {"person": shown.person, "starts_s": shown.starts_s, "ends_s": shown.ends_s, "timezone": zone}
    if feed is not None:
        fields["source"] = {"feed": feed, "uid": shown.uid}
    try:
        body = check_body(LeaveBody, fields).model_dump(exclude_none=True)
    except Refusal as refusal:
        return refusal
    return ask_unless_refused(shell, "leave.book", body=body)


def ask_unless_refused(shell: Shell, op: str, **args: Any) -> Any:
    """Ask the authority; return what it says, be it a refusal, unless it does not run."""
    try:
        return shell.ask(op, **args)
    except Refusal as refusal:
        if refusal.slug == "ledger-unavailable":
            raise
        return refusal


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
    """Say whether leave can be booked for a person: one of the policy, or whoever has an account."""
    try:
        return person in policy.persons or bool(check_reference(person))
    except ValueError:
        return False


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
