"""Hours in the running service: what grants give and how they refuse, and what of it is on record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from appliance.policy.schedules import DAYS
from appliance.ssh.keys import format_public_key_line
from support.load import entries
from support.service import POLICY, Service, make_service
from support.ssh_examples import public_key

KEY = format_public_key_line(public_key("ed25519", 1))
NOW = datetime.now(UTC)
# The schedule's day is neither today nor tomorrow, however long the tests take.
DAY = (NOW + timedelta(days=3)).weekday()
OPENS = (NOW + timedelta(days=3)).date()
HOURS = f"""
[[schedule]]
name = "weekly"
timezone = "UTC"
windows = ["{DAYS[DAY]} 08:00-18:00"]
[[schedule]]
name = "always"
timezone = "Europe/Berlin"
windows = ["mon-sun 00:00-24:00"]
holidays = "DE"
[[grant]]
name = "weekly"
who.users = ["api:walter"]
on = ["web"]
as = ["root"]
when = "weekly"
[[grant]]
name = "contract"
who.users = ["api:conny"]
on = ["web"]
as = ["root"]
ttl = "30d"
until = "{NOW.date() + timedelta(days=2)}"
require.reason = true
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = make_service(tmp_path_factory.mktemp("hours"), POLICY + HOURS)
    with made.running(CHANCERY_SERVICE_WORKERS="1"):
        yield made


def test_refusal_says_which_schedule_and_when_it_opens_again(service: Service) -> None:
    reply = service.http("POST", "/v1/certificates/user", {"public_key": KEY}, as_="walter")
    assert (reply.status, reply.slug, reply.json["rule"]) == (403, "policy-denied", "schedule")
    assert reply.json["opens"] == f"{OPENS}T08:00:00Z"
    assert f"opens again at {OPENS}T08:00:00Z" in reply.json["detail"]
    assert reply.json["allowed"] == []


def test_certificate_ends_with_the_last_day_of_its_grant_and_the_intent_says_so(service: Service) -> None:
    assert service.http("POST", "/v1/certificates/user", {"public_key": KEY}, as_="conny").json["rule"] == (
        "require.reason"
    )
    (issued,) = service.issue({"public_key": KEY, "reason": "ticket 7"}, "conny")
    ends = datetime.combine(NOW.date() + timedelta(days=3), datetime.min.time(), UTC)
    assert datetime.fromisoformat(issued["valid_before"]) == ends
    intent = [entry["data"] for entry in entries(service) if entry["kind"] == "certificate.intent"][-1]
    assert intent["window"] == {"closes_s": int(ends.timestamp())}
    assert "tzdata" not in intent


def test_start_that_is_asked_for_is_on_record(service: Service) -> None:
    start = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    body = {"public_key": KEY, "reason": "maintenance", "ttl": "1h", "start": start.isoformat()}
    (issued,) = service.issue(body, "conny")
    assert datetime.fromisoformat(issued["valid_after"]) == start - timedelta(seconds=60)
    assert datetime.fromisoformat(issued["valid_before"]) == start + timedelta(hours=1)
    too_late = body | {"start": (start + timedelta(days=1)).isoformat()}
    reply = service.http("POST", "/v1/certificates/user", too_late, as_="conny")
    assert (reply.slug, reply.json["rule"]) == ("policy-denied", "start")


def test_access_by_policy_says_what_a_grant_needs_beside_its_hours(service: Service) -> None:
    service.settled("/v1/access", "dave")
    shown = service.cli("access", "what", "api:conny", "--basis", "policy").stdout
    header, row = shown.splitlines()
    assert "needs" in header.split()
    assert row[header.index("needs") :].startswith("a reason ")


def test_ledger_with_hours_is_verified_offline(service: Service) -> None:
    applied = next(entry["data"] for entry in entries(service) if entry["kind"] == "policy.applied")
    (calendar,) = applied["holidays"]
    assert f"{NOW.year}-12-25" in calendar["dates"]
    assert "VERIFIED" in service.cli("ledger", "verify").stdout
