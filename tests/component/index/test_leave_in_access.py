"""Leave in access by policy: who is away obtains nothing, as it was on record at the moment asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.index.access import AccessQuery, find_access
from appliance.index.projection import Projection
from appliance.index.queries import Index
from appliance.index.render import render_access
from support.histories import START_MS, History, apply_text, begin, identity, ordered, policy_text

START_S = START_MS // 1000
HOUR_S = 3_600


def start(limit: str = "") -> History:
    history = begin()
    who = ['{ users = ["oidc:alice", "oidc:bob"], groups = ["oidc:team"] }']
    text = policy_text(
        'role = "web"', ["oidc:ci"], who, ["root"], bare=False, limit=limit, person=True
    ).replace('"web", "db"', '"web"')
    apply_text(history, text, holidays=[])
    return history


def book(history: History, starts_s: int, ends_s: int) -> int:
    booked = {"person": "alice", "identities": ["oidc:alice"], "starts_s": starts_s, "ends_s": ends_s}
    return history.add("leave.booked", booked | {"by": identity("carol")}).seq


def shown(path: Path, history: History, at_s: int) -> dict[str, dict[str, Any]]:
    projection = Projection.open(path / "index.db")
    projection.apply(history.entries[projection.size :])
    projection.close()
    with Index(path / "index.db").snapshot() as snapshot:
        page = find_access(snapshot, AccessQuery(at_ms=at_s * 1000, basis="policy"))
    return {row["subject"]: row for row in render_access(page, "policy")["access"]}


def states(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: (row["open"], row.get("opens"), row.get("leave")) for name, row in rows.items()}


def test_who_is_away_obtains_nothing_until_leave_ends_and_others_are_not_away(tmp_path: Path) -> None:
    history = start()
    leave = book(history, START_S, START_S + HOUR_S)
    assert states(shown(tmp_path, history, START_S)) == {
        "oidc:alice": (False, "2025-11-24T17:00:00Z", leave),
        "oidc:bob": (True, None, None),
        "oidc:team": (True, None, None),
    }
    assert states(shown(tmp_path, history, START_S + HOUR_S))["oidc:alice"] == (True, None, None)


def test_moment_knows_leave_as_it_was_then_whatever_became_of_it(tmp_path: Path) -> None:
    history = start()
    leave = book(history, START_S, START_S + 4 * HOUR_S)
    history.now_ms += HOUR_S * 1000
    history.add(
        "leave.cancelled", {"leave": leave, "ends_s": START_S + 2 * HOUR_S, **ordered("leave.cancel")}
    )
    history.now_ms += 60_000
    history.add("leave.cancelled", {"leave": leave, **ordered("leave.cancel")})
    for after_s, expected in (
        (60, (False, "2025-11-24T20:00:00Z", leave)),
        (HOUR_S, (False, "2025-11-24T18:00:00Z", leave)),
        (HOUR_S + 60, (True, None, None)),
    ):
        assert states(shown(tmp_path, history, START_S + after_s))["oidc:alice"] == expected


def test_grant_that_leave_outlasts_is_shown_and_opens_at_no_moment(tmp_path: Path) -> None:
    history = start('until = "2025-11-25"')
    leave = book(history, START_S, START_S + 80 * HOUR_S)
    assert states(shown(tmp_path, history, START_S))["oidc:alice"] == (False, None, leave)
    assert shown(tmp_path, history, START_S + 40 * HOUR_S) == {}


def test_leave_about_to_begin_leaves_too_little_time_and_is_not_yet_his(tmp_path: Path) -> None:
    history = start()
    book(history, START_S + 59, START_S + HOUR_S)
    expected = (False, "2025-11-24T17:00:00Z", None)
    assert states(shown(tmp_path, history, START_S))["oidc:alice"] == expected
