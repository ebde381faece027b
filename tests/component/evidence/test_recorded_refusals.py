"""Refusals on record: what is replayed, what hours that nobody can tell excuse, and what is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport
from appliance.requests import HostRequest, UserRequest
from audit.verifier import Verdict
from support.authority import NOW_MS, POLICY, identity, running_authority
from support.circumstances import apply
from support.forging import Data, Entries, judge, read_entries
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)
# A Monday, 17:00 in Berlin. Zoe's grant is open, Yan's is shut; alice has none with a schedule.
SCHEDULES = """
[[schedule]]
name = "day"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00"]
[[schedule]]
name = "night"
timezone = "Europe/Berlin"
windows = ["mon-fri 20:00-22:00"]
[[grant]]
name = "zoe"
who = { users = ["mtls:zoe"] }
on = ["web"]
as = ["zoe"]
when = "day"
[[grant]]
name = "yan"
who = { users = ["mtls:yan"] }
on = ["web"]
as = ["yan"]
when = "night"
"""


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    with running_authority(tmp_path / "honest.db") as authority:
        apply(authority, POLICY + SCHEDULES)
        authority.ask(identity(), UserRequest(public_key=KEY, logins=("deploy",)))
    return read_entries(tmp_path / "honest.db")


def refusal(rule: str, who: str = "alice", **changes: object) -> Data:
    moments: Data = {"first_ms": NOW_MS, "last_ms": NOW_MS, "count": 1}
    asked = {"identity": identity(who).to_data(), "request": UserRequest(public_key=KEY).to_data()}
    return asked | moments | {"rule": rule} | changes


def judge_refusal(path: Path, entries: Entries, data: Data) -> EvidenceReport:
    report = judge(path, [*entries, ("certificate.denied", data)])
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    return report


@pytest.mark.parametrize(("rule", "who"), [("default-deny", "mallory"), ("schedule", "yan")])
def test_refusal_that_the_replay_gives_too_is_counted_as_replayed(
    tmp_path: Path, honest: Entries, rule: str, who: str
) -> None:
    report = judge_refusal(tmp_path / "r.db", honest, refusal(rule, who))
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert (report.checked["replayed refusals"], report.checked.get("refusals not replayed")) == (1, None)


@pytest.mark.parametrize(
    "data",
    [
        refusal("schedule", "zoe"),
        refusal("time-left", "zoe"),
        refusal("require.mfa", "zoe"),
        refusal("time-left", "yan"),
        refusal("default-deny", "yan"),
        refusal("because", "mallory", first_ms=NOW_MS - 2, last_ms=NOW_MS - 1, count=2),
        refusal("because", "mallory", first_ms=NOW_MS - 1, count=2),
        refusal("default-deny", "mallory", shortened={"request": "0" * 64}),
    ],
    ids=["shut", "short", "required", "shorter", "open and no more", "counted", "counted till now", "cut"],
)
def test_refusal_that_cannot_be_replayed_is_said_not_to_be(
    tmp_path: Path, honest: Entries, data: Data
) -> None:
    report = judge_refusal(tmp_path / "r.db", honest, data)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert (report.checked.get("replayed refusals"), report.checked["refusals not replayed"]) == (None, 1)


@pytest.mark.parametrize(
    "data",
    [
        refusal("schedule"),  # she has none
        refusal("default-deny"),
        refusal("default-deny", "zoe"),
        refusal("lock", "zoe"),
        refusal("because", "zoe"),
        refusal("because", "yan"),
        refusal("schedule", "mallory"),
        refusal("schedule", "zoe", request=HostRequest(public_key=KEY, host="web-1.acme.example").to_data()),
        refusal("default-deny", "mallory", first_ms=NOW_MS + 1),
        refusal("default-deny", "mallory", last_ms=NOW_MS + 1),
        refusal("default-deny", "mallory", first_ms=NOW_MS - 1, last_ms=NOW_MS - 2, count=2),
    ],
    ids=[
        "no schedule",
        "allowed",
        "allowed at this hour",
        "locked",
        "no rule",
        "no rule, and shut",
        "no grant",
        "of a host",
        "before it began",
        "in the future",
        "backwards",
    ],
)
def test_refusal_that_no_hours_excuse_is_found(tmp_path: Path, honest: Entries, data: Data) -> None:
    report = judge_refusal(tmp_path / "r.db", honest, data)
    assert [finding.code for finding in report.findings] == [Code.WRONG_DENIAL], report.to_json()


def test_refusal_before_there_was_a_policy_is_found(tmp_path: Path, honest: Entries) -> None:
    report = judge(tmp_path / "r.db", [honest[0], ("certificate.denied", refusal("default-deny"))])
    assert {finding.code for finding in report.findings} == {Code.BAD_MEANING}
