"""``chancery leave``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.authority.cutting.leaving import LeaveBody
from appliance.authority.ordering.commands import CancelLeave
from appliance.calendars.reading import Source, read_source
from appliance.calendars.sync import PLACE, Assignment, Shown, assign
from appliance.cli.calling import find_caller
from appliance.cli.console import (
    EXIT_FAILED,
    Shell,
    examples,
    json_option,
    note,
    note_more,
    page_options,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
    show_table,
)
from appliance.cli.cutting import show_live
from appliance.cli.feeds import Synced, book_shown, sync_feed, watch_feeds
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.clock import format_rfc3339, now_ms, now_s
from appliance.days import format_on_clocks, is_day, parse_day_or_moment
from appliance.errors import Refusal
from appliance.index.leave import render_booked
from appliance.moments import parse_moment_ms
from appliance.policy.zones import load_zone
from appliance.requests import check_body

_zone_option = click.option(
    "--tz", "zone", default="UTC", show_default=True, help="The time zone of days, such as Europe/Berlin."
)


@click.group()
def leave() -> None:
    """Leave: who is away has no access, and has it again by itself when he is back."""


@leave.command(
    epilog=examples(
        "chancery leave book ada 2026-12-01 2026-12-14 --tz Europe/Berlin   # 1 to 13 December",
        "chancery leave book oidc:bob 2026-12-01T12:00:00Z 2026-12-01T18:00:00Z --reason dentist",
    )
)
@click.argument("person")
@click.argument("starts")
@click.argument("ends")
@_zone_option
@click.option("--reason", help="Why, for the record.")
@json_option
@pass_shell
@plain_errors
def book(
    shell: Shell, person: str, starts: str, ends: str, zone: str, reason: str | None, as_json: bool
) -> None:
    """Book leave for PERSON, of the policy or as provider:subject, from STARTS until ENDS.

    ENDS is the first day back: it is not part of the leave. Both are days, which begin at midnight in the
    time zone, or moments (RFC 3339). Certificates end when the leave starts, and those that are live and
    reach into it are revoked at once. Anyone can book for himself, the roles operator and admin for others.
    """
    known = _zone(zone)
    body = {
        "person": person,
        "starts_s": _moment("STARTS", starts, zone),
        "ends_s": _moment("ENDS", ends, zone),
        "timezone": known if is_day(starts) or is_day(ends) else None,
        "reason": reason,
    }
    typed = {"starts": starts, "ends": ends, "timezone": known}
    done = find_caller(shell).book_leave(check_body(LeaveBody, body), typed)
    if as_json:
        show_json(done)
    else:
        _show_booked(done, zone)


@leave.command(
    "list",
    epilog=examples(
        "chancery leave list", "chancery leave list --pending", "chancery leave list --person ada"
    ),
)
@click.option("--person", help="Of this person, or of whoever has this account.")
@click.option("--past", is_flag=True, help="Also what is over, or was cancelled.")
@click.option("--pending", is_flag=True, help="Only what its feed shows no more: cancel it, or let it be.")
@page_options
@json_option
@pass_shell
@plain_errors
def list_(
    shell: Shell,
    person: str | None,
    past: bool,
    pending: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List leave, the last booked first."""
    page = find_caller(shell).list_leave(
        person=person, past=past, pending=pending, limit=limit, cursor=cursor
    )
    if as_json:
        show_json(page)
        return
    rows = [_row(each) for each in page["leave"]]
    show_table(["leave:", "person:", "starts:", "ends:", "state:", "from"], rows, empty="no leave")
    note_more(page["cursor"])


@leave.command(
    epilog=examples(
        "chancery leave cancel 1742 --operator carol --key ~/.ssh/id_ed25519",
        "chancery leave cancel 1742 --until 2026-12-10 --tz Europe/Berlin --operator carol --key ~/.ssh/id",
    )
)
@click.argument("number", metavar="LEAVE", type=click.IntRange(0))
@click.option("--until", help="Have it end sooner instead: the first day back, or a moment (RFC 3339).")
@_zone_option
@order_options
@json_option
@pass_shell
@plain_errors
def cancel(
    shell: Shell, number: int, until: str | None, zone: str, ordering: Ordering, as_json: bool
) -> None:
    """Cancel the leave that entry LEAVE booked (see `leave list`): whoever was away has access again.

    That gives access, so it is an order. Certificates that were revoked stay so: new ones are to be had.
    """
    ends_s = None if until is None else _moment("--until", until, zone)
    command = check_body(CancelLeave, {"verb": "leave.cancel", "leave": number, "ends_s": ends_s})
    given = give_order(shell, command, ordering)
    show_given(given, as_json=as_json, leave=number)


@leave.command(
    "import",
    epilog=examples(
        "chancery leave import ada.ics --person ada --tz Europe/Berlin",
        "chancery leave import https://calendar.example.org/team.ics --summary 'Leave: {person}'",
    ),
)
@click.argument("source", metavar="FILE|URL")
@click.option("--person", help="Whose leave all events are.")
@click.option("--organizer", "organizers", multiple=True, help="ADDRESS=PERSON: of the events he organizes.")
@click.option("--attendee", "attendees", multiple=True, help="ADDRESS=PERSON: of the events he attends.")
@click.option("--summary", help="By the summary, such as 'Leave: {person}'.")
@_zone_option
@json_option
@pass_shell
@plain_errors
def import_(
    shell: Shell,
    source: str,
    person: str | None,
    organizers: tuple[str, ...],
    attendees: tuple[str, ...],
    summary: str | None,
    zone: str,
    as_json: bool,
) -> None:
    """Book the leave in an iCalendar file, once. What changes in it later is not seen: see `leave sync`.

    Events of the next two years that are not over count; all-day events are days of the time zone. What is
    refused is told, and keeps nothing else back: exit 1 if there was any.
    """
    if sum((person is not None, bool(organizers), bool(attendees), summary is not None)) != 1:
        raise click.UsageError("give one of --person, --organizer, --attendee and --summary")
    if summary is not None and summary.count(PLACE) != 1:
        raise click.BadParameter(f"expected {PLACE} in it, once", param_hint="--summary")
    assignment = Assignment(
        person=person, organizers=_addresses(organizers), attendees=_addresses(attendees), summary=summary
    )
    is_url = "://" in source
    place = Source(
        url=source if is_url else None, file=None if is_url else Path(source), zone=load_zone(_zone(zone))
    )
    shown = assign(read_source(place, now_s()), assignment)
    outcomes = [(each, book_shown(shell, each, zone)) for each in shown]
    if as_json:
        show_json(_render_imported(outcomes))
    else:
        columns = ["leave:", "person:", "starts:", "ends:", "problem"]
        show_table(columns, [_imported_row(*each) for each in outcomes], empty="nothing in it is leave")
    if any(isinstance(outcome, Refusal) for _, outcome in outcomes):
        raise SystemExit(EXIT_FAILED)


@leave.command(
    epilog=examples(
        "chancery leave sync",
        "chancery leave sync --feed holidays --now",
        "chancery leave sync --watch      # for a service of its own; or without it, from a timer",
    )
)
@click.option("--feed", "names", multiple=True, help="Only this one of the configured feeds.")
@click.option("--now", "at_once", is_flag=True, help="Also those whose interval is not over.")
@click.option("--watch", is_flag=True, help="Go on for ever, and read each feed in its interval.")
@json_option
@pass_shell
@plain_errors
def sync(shell: Shell, names: tuple[str, ...], at_once: bool, watch: bool, as_json: bool) -> None:
    """Read the feeds of chancery.toml ([[leave.feed]]) and book what is new in them.

    It takes the role operator or admin. What a feed shows no more is recorded as withdrawn, and holds until
    an operator cancels it; a feed that cannot be read changes nothing. Exit 1 if there was one.
    """
    config = shell.config()
    feeds = [feed for feed in config.leave.feeds if not names or feed.name in names]
    if unknown := set(names) - {feed.name for feed in feeds}:
        raise Refusal("not-found", f"chancery.toml has no leave.feed of the name {min(unknown)}")
    if watch:
        watch_feeds(shell, feeds)
    done = [each for feed in feeds if (each := sync_feed(shell, feed, now_ms(), at_once=at_once)) is not None]
    if as_json:
        show_json({"feeds": [each.to_json() for each in done]})
    else:
        columns = ["feed:", "events:", "booked:", "withdrawn:", "problem"]
        show_table(columns, [_feed_row(each) for each in done], empty="no feed is due")
    if any(each.problem for each in done):
        raise SystemExit(EXIT_FAILED)


def _render_imported(outcomes: list[tuple[Shown, Any]]) -> dict[str, Any]:
    now = now_s()
    booked = [render_booked(done, now) for _, done in outcomes if not isinstance(done, Refusal)]
    refused = [
        {
            "person": shown.person,
            "starts": format_rfc3339(shown.starts_s),
            "ends": format_rfc3339(shown.ends_s),
            "problem": outcome.detail,
        }
        for shown, outcome in outcomes
        if isinstance(outcome, Refusal)
    ]
    return {"booked": booked} | ({"refused": refused} if refused else {})


def _imported_row(shown: Shown, outcome: Any) -> tuple[object, ...]:
    times = (format_rfc3339(shown.starts_s), format_rfc3339(shown.ends_s))
    if isinstance(outcome, Refusal):
        return "", shown.person, *times, outcome.detail
    return outcome["seq"], outcome["person"], *times, ""


def _show_booked(done: Mapping[str, Any], zone: str) -> None:
    known = load_zone(zone)
    starts_s, ends_s = (parse_moment_ms(done[name]) // 1000 for name in ("starts", "ends"))
    fields = {
        "leave": done["leave"],
        "person": done["person"],
        "away from": format_on_clocks(starts_s, known),
        "back at": f"{format_on_clocks(ends_s, known)} (the first moment with access again)",
    }
    if done["revoked_count"]:
        fields["revoked"] = done["revoked_count"]
    show_fields(fields)
    show_live({"live": done["live"], "live_count": done["revoked_count"]})
    note("it had been booked before" if "already" in done else done["note"])


def _row(each: Mapping[str, Any]) -> tuple[object, ...]:
    state = f"{each['state']}, withdrawn" if each["pending_cancellation"] else each["state"]
    origin = f"feed {each['feed']}" if "feed" in each else each["booked_by"]
    return each["leave"], each["person"], each["starts"], each["ends"], state, origin


def _feed_row(done: Synced) -> tuple[object, ...]:
    return done.name, done.events, len(done.booked), len(done.withdrawn), done.problem


def _addresses(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        address, equals, person = pair.partition("=")
        if not equals or not person:
            raise click.BadParameter(f"got {pair!r}, expected ADDRESS=PERSON")
        found[address.lower()] = person
    return found


def _zone(zone: str) -> str:
    try:
        return load_zone(zone).key
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--tz") from error


def _moment(what: str, text: str, zone: str) -> int:
    try:
        return parse_day_or_moment(text, load_zone(_zone(zone)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=what) from error
