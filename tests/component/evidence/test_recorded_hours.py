"""Hours on record: what an intent says of its schedule, and what a replay makes of it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.ordering.administration import apply_policy
from appliance.authority.ordering.commands import ApplyPolicy
from appliance.authority.orders import OrderBody
from appliance.errors import Refusal
from appliance.evidence.findings import Code
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.policy.document import PolicyFile
from appliance.policy.zones import TZDATA
from appliance.requests import UserRequest
from appliance.ssh.certificate import decode_tbs, encode_tbs
from appliance.ssh.options import VERIFY_REQUIRED
from appliance.ssh.signature import sign
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.entry import Entry
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteReader, SqliteStore
from audit.verifier import SqliteSource, Verdict
from support.authority import LEDGER_KEY, NOW_MS, ORIGIN, POLICY, VKEY, identity, order, running_authority
from support.circumstances import apply
from support.forging import read_entries
from support.ssh_examples import private_key, public_key

# A Monday, 17:00 in Berlin: half an hour before the schedule shuts.
NOW_S = NOW_MS // 1000
HOURS = """
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-17:30"]
holidays = "DE"
[[grant]]
name = "office"
who = { users = ["mtls:bob"] }
on = ["web"]
as = ["root"]
when = "office"
require = { key_types = ["sk-ssh-ed25519@openssh.com"], verify = true }
"""
Entries = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return, as JSON, what an authority wrote that applied a policy with a schedule and issued by it."""
    path = tmp_path_factory.mktemp("hours") / "ledger.db"
    files = [PolicyFile(name="policy.toml", text=POLICY + HOURS)]
    command = ApplyPolicy.of(files)
    with running_authority(path) as authority:
        assert authority.state.applied is not None
        signed: Any = order(command.to_command(), policy=authority.state.applied.seq)
        bodies = [OrderBody(**each) for each in signed["orders"]]
        applied = threading.Event()

        def answer(outcome: Sequence[Entry] | Refusal) -> None:
            assert not isinstance(outcome, Refusal), outcome
            applied.set()

        authority.writer.submit(apply_policy(command, files, bodies, answer, now_s=NOW_S))
        assert applied.wait(10)
        asked = UserRequest(public_key=public_key("sk-ed25519", 1))
        authority.ask(identity("bob"), asked)
        authority.ask(identity("bob"), UserRequest(public_key=public_key("ed25519", 1)))
    reader = SqliteReader(path)
    entries = [json.loads(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return json.dumps([(entry["kind"], entry["data"]) for entry in entries])


def find(entries: Entries, kind: str) -> dict[str, Any]:
    return [data for each, data in entries if each == kind][-1]


def judge(path: Path, entries: Entries) -> EvidenceReport:
    ledger = Ledger.create(SqliteStore.create(path))
    with ledger.batch(NOW_MS) as batch:
        for kind, data in entries:
            batch.append(kind, data)
    note = sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), LEDGER_KEY)
    with ledger.batch(NOW_MS) as batch:
        batch.add_checkpoint(note, ledger.size)
    ledger.close()
    with SqliteSource(path) as source:
        return verify_evidence(source, pinned_key=VKEY)


def test_intent_says_which_hours_by_which_rules_and_its_certificate_ends_with_them(
    tmp_path: Path, recorded: str
) -> None:
    entries: Entries = json.loads(recorded)
    intent = find(entries, "certificate.intent")
    closes_s = NOW_S + 1_800
    assert intent["window"] == {"opens_s": closes_s - 34_200, "closes_s": closes_s}
    assert (intent["tzdata"], intent["evaluator"]) == (TZDATA, 2)
    content = decode_tbs(base64.b64decode(intent["tbs"]))
    assert content.valid_before == closes_s
    assert content.critical_options == ((VERIFY_REQUIRED, ""),)
    (calendar,) = find(entries, "policy.applied")["holidays"]
    assert calendar["calendar"] == "DE"
    assert "2025-12-25" in calendar["dates"]
    report = judge(tmp_path / "again.db", entries)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert (report.checked["replayed decisions"], report.checked["replayed refusals"]) == (1, 1)


def codes(path: Path, entries: Entries) -> set[Code]:
    return {finding.code for finding in judge(path, entries).findings}


def test_recorded_holidays_decide_and_not_those_that_a_library_knows(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    dates = find(entries, "policy.applied")["holidays"][0]["dates"]
    dates.append("2025-11-24")
    dates.sort()
    assert codes(tmp_path / "forged.db", entries) == {Code.NOT_ALLOWED, Code.OTHER_HOLIDAYS}


def test_holidays_that_the_library_does_not_know_are_inconclusive(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    find(entries, "policy.applied")["holidays"][0]["dates"].remove("2025-12-25")
    report = judge(tmp_path / "other.db", entries)
    assert report.verdict is Verdict.INCONCLUSIVE, report.to_json()
    assert [finding.code for finding in report.findings] == [Code.OTHER_HOLIDAYS]
    assert "first 2025-12-25, are not on record" in report.findings[0].message


def test_calendar_that_ends_sooner_than_the_library_s_is_inconclusive(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    calendar = find(entries, "policy.applied")["holidays"][0]
    calendar["last_year"] -= 1
    calendar["dates"] = [day for day in calendar["dates"] if day < str(calendar["last_year"] + 1)]
    (finding,) = judge(tmp_path / "other.db", entries).findings
    assert finding.code is Code.OTHER_HOLIDAYS
    assert "end with 2034, and here with 2035" in finding.message


def forge_no_calendars(applied: dict[str, Any]) -> None:
    del applied["holidays"]


def forge_other_calendar(applied: dict[str, Any]) -> None:
    applied["holidays"][0]["calendar"] = "AT"


def forge_second_calendar(applied: dict[str, Any]) -> None:
    applied["holidays"].append({**applied["holidays"][0], "calendar": "FR"})


def forge_years(applied: dict[str, Any]) -> None:
    applied["holidays"][0]["last_year"] += 1


def forge_empty_years(applied: dict[str, Any]) -> None:
    applied["holidays"][0] |= {"first_year": 2026, "dates": []}


def forge_day_out_of_years(applied: dict[str, Any]) -> None:
    applied["holidays"][0]["dates"].append("2099-12-25")


@pytest.mark.parametrize(
    "forge",
    [
        forge_no_calendars,
        forge_other_calendar,
        forge_second_calendar,
        forge_years,
        forge_empty_years,
        forge_day_out_of_years,
    ],
)
def test_calendars_other_than_those_that_the_policy_needs_are_found(
    tmp_path: Path, recorded: str, forge: Callable[[dict[str, Any]], None]
) -> None:
    entries: Entries = json.loads(recorded)
    forge(find(entries, "policy.applied"))
    report = judge(tmp_path / "forged.db", entries)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert Code.BAD_MEANING in {finding.code for finding in report.findings}, report.to_json()


def test_policy_that_cannot_be_is_found_once_and_its_holidays_are_not_asked_for(
    tmp_path: Path, recorded: str
) -> None:
    entries: Entries = json.loads(recorded)
    find(entries, "policy.file")["text"] += "# and more\n"
    report = judge(tmp_path / "forged.db", entries)
    assert [finding.code for finding in report.findings] == [Code.BAD_MEANING], report.to_json()


@pytest.mark.parametrize("member", ["window", "tzdata"])
def test_hours_that_are_not_recorded_are_found(tmp_path: Path, recorded: str, member: str) -> None:
    entries: Entries = json.loads(recorded)
    del find(entries, "certificate.intent")[member]
    assert codes(tmp_path / "forged.db", entries) == {Code.NOT_ALLOWED}


def test_hours_that_are_recorded_wider_are_found(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    find(entries, "certificate.intent")["window"]["closes_s"] += 60
    assert codes(tmp_path / "forged.db", entries) == {Code.NOT_ALLOWED}


def test_other_time_zone_rules_that_lead_to_the_same_are_as_good(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    find(entries, "certificate.intent")["tzdata"] = "2019a"
    assert judge(tmp_path / "older.db", entries).verdict is Verdict.VERIFIED


def test_other_time_zone_rules_that_lead_elsewhere_are_inconclusive(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    intent = find(entries, "certificate.intent")
    intent["tzdata"] = "2019a"
    intent["window"]["opens_s"] -= 3_600
    report = judge(tmp_path / "older.db", entries)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert {finding.code for finding in report.findings} == {Code.OTHER_TIME_ZONES}


def test_certificate_outside_its_recorded_window_is_found_whatever_the_rules_were(
    tmp_path: Path, recorded: str
) -> None:
    entries: Entries = json.loads(recorded)
    intent = find(entries, "certificate.intent")
    intent["tzdata"] = "2019a"
    intent["window"]["closes_s"] -= 3_600
    assert codes(tmp_path / "older.db", entries) == {Code.NOT_ALLOWED}


def rewrite(entries: Entries, **changes: Any) -> dict[str, Any]:
    """Change what the last intent's certificate says, and have its CA sign it; by rules that nobody has."""
    intent = find(entries, "certificate.intent")
    content = decode_tbs(base64.b64decode(intent["tbs"]))
    tbs = encode_tbs(replace(content, **changes))
    intent["tbs"] = base64.b64encode(tbs).decode()
    intent["tzdata"] = "2019a"
    signature = sign(private_key("nistp256", 11), tbs)
    find(entries, "certificate.issued")["signature"] = base64.b64encode(signature).decode()
    return intent


def forge_principals(entries: Entries) -> None:
    rewrite(entries, principals=("deploy@web",))


def forge_options(entries: Entries) -> None:
    rewrite(entries, critical_options=())


def forge_longer_life(entries: Entries) -> None:
    rewrite(entries, valid_before=NOW_S + 9 * 3_600)["window"]["closes_s"] = NOW_S + 9 * 3_600


def forge_later_beginning(entries: Entries) -> None:
    rewrite(entries, valid_after=NOW_S + 60)


def forge_identity(entries: Entries) -> None:
    rewrite(entries)["identity"]["subject"] = "mallory"


def forge_grant_without_schedule(entries: Entries) -> None:
    intent = rewrite(entries, principals=("deploy@web",), critical_options=(), extensions=())
    intent["identity"]["subject"] = "alice"
    intent["grants"] = [{"file": "policy.toml", "name": "deploy"}]


def forge_unknown_grant(entries: Entries) -> None:
    rewrite(entries, principals=("root@db",))["grants"] = [{"file": "policy.toml", "name": "all"}]


def forge_narrowing(entries: Entries) -> None:
    rewrite(entries)["request"]["logins"] = ["deploy"]


def forge_no_window(entries: Entries) -> None:
    rewrite(entries).pop("window")


def forge_half_a_window(entries: Entries) -> None:
    rewrite(entries)["window"].pop("opens_s")


def forge_unknown_host(entries: Entries) -> None:
    rewrite(entries)["request"]["hosts"] = ["db-1.acme.example"]


def forge_other_place(entries: Entries) -> None:
    rewrite(entries)["request"]["host_groups"] = ["db"]


def forge_principals_of_nobody(entries: Entries) -> None:
    rewrite(entries, principals=("deploy@web", "root@web"))


def forge_hours_of_a_grant_without_any(entries: Entries) -> None:
    """As if the certificate rested on a grant beside, which has no hours and gives the same."""
    intent = rewrite(
        entries, critical_options=(), extensions=(("permit-pty", ""),), principals=("deploy@web",)
    )
    intent["identity"]["subject"] = "alice"
    intent["request"]["logins"] = ["deploy"]
    intent["grants"] = [{"file": "policy.toml", "name": "deploy"}]


def forge_lock(entries: Entries) -> None:
    rewrite(entries)
    lock: dict[str, Any] = {"kind": "identity", "name": "mtls:bob", "reason": "gone"}
    lock["by"] = {**find(entries, "certificate.intent")["identity"], "subject": "carol"}
    place = [kind for kind, _ in entries].index("certificate.intent")
    entries.insert(place, ("lock.placed", lock))
    find(entries, "certificate.issued")["intent"] += 1


@pytest.mark.parametrize(
    "forge",
    [
        forge_principals,
        forge_options,
        forge_longer_life,
        forge_later_beginning,
        forge_identity,
        forge_grant_without_schedule,
        forge_unknown_grant,
        forge_narrowing,
        forge_no_window,
        forge_half_a_window,
        forge_unknown_host,
        forge_other_place,
        forge_principals_of_nobody,
        forge_hours_of_a_grant_without_any,
        forge_lock,
    ],
)
def test_other_time_zone_rules_excuse_nothing_but_hours(
    tmp_path: Path, recorded: str, forge: Callable[[Entries], None]
) -> None:
    entries: Entries = json.loads(recorded)
    forge(entries)
    report = judge(tmp_path / "forged.db", entries)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert report.verdict is Verdict.TAMPERED
    assert Code.NOT_ALLOWED in {finding.code for finding in report.findings}, report.to_json()
    assert Code.OTHER_TIME_ZONES not in {finding.code for finding in report.findings}


def test_hours_alone_by_other_time_zone_rules_are_inconclusive(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    window = rewrite(entries, valid_before=NOW_S + 3_600)["window"]
    window["closes_s"] += 1_800
    report = judge(tmp_path / "older.db", entries)
    assert [finding.code for finding in report.findings] == [Code.OTHER_TIME_ZONES], report.to_json()
    assert report.checked["CA signatures"] == 1


def test_schedule_that_is_shut_by_the_rules_at_hand_is_inconclusive(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    rewrite(entries)
    report = judge(tmp_path / "older.db", entries)
    assert report.verdict is Verdict.VERIFIED
    dates = find(entries, "policy.applied")["holidays"][0]["dates"]
    dates.append("2025-11-24")
    dates.sort()
    assert Code.OTHER_TIME_ZONES in codes(tmp_path / "shut.db", entries)


def test_signature_of_the_ca_is_checked_whatever_the_rules_were(tmp_path: Path, recorded: str) -> None:
    entries: Entries = json.loads(recorded)
    intent = rewrite(entries)
    intent["window"]["opens_s"] -= 3_600
    foreign = sign(private_key("nistp256", 12), base64.b64decode(intent["tbs"]))
    find(entries, "certificate.issued")["signature"] = base64.b64encode(foreign).decode()
    assert codes(tmp_path / "older.db", entries) == {Code.OTHER_TIME_ZONES, Code.BAD_CA_SIGNATURE}


TWO_GRANTS = """
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-17:30"]
[[grant]]
name = "shell"
who = { users = ["mtls:bob"] }
on = ["web"]
as = ["root"]
when = "office"
[[grant]]
name = "logs-of-bob"
who = { users = ["mtls:bob"] }
on = ["web"]
as = ["logs"]
when = "office"
force_command = "journalctl -f"
"""


def test_hours_of_one_of_two_certificates_by_other_rules_are_inconclusive(tmp_path: Path) -> None:
    with running_authority(tmp_path / "ledger.db") as authority:
        apply(authority, POLICY + TWO_GRANTS)
        authority.ask(identity("bob"), UserRequest(public_key=public_key("ed25519", 1)))
    entries = read_entries(tmp_path / "ledger.db")
    intents = [data for kind, data in entries if kind == "certificate.intent"]
    assert [len(each["grants"]) for each in intents] == [1, 1]
    for intent in intents:
        intent["tzdata"] = "2019a"
        intent["window"]["opens_s"] -= 3_600
    assert codes(tmp_path / "older.db", entries) == {Code.OTHER_TIME_ZONES}
