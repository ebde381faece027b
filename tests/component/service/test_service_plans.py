"""Plans over HTTP and at the terminal: against the policy in force, and offline."""

from __future__ import annotations

import json
import time
from pathlib import Path

from appliance.clock import format_rfc3339
from appliance.web.explained import PolicyPlanned
from support.service import Service

MORE = (
    '\n[[grant]]\nname = "more"\nwho = { users = ["api:eve"] }\non = ["web"]\nas = ["deploy"]\nttl = "1h"\n'
)


def test_admin_is_told_what_a_policy_would_change(service: Service) -> None:
    text = (service.scratch / "policy.toml").read_text()
    body = {"files": [{"name": "policy.toml", "text": text + MORE}]}
    planned = service.http("POST", "/v1/policy/plan", body, as_="carol").json
    assert [(each["kind"], each["who"], each["login"]) for each in planned["changes"]] == [
        ("gains", "api:eve", "deploy")
    ]
    assert (planned["counts"]["gains"], planned["complete"]) == (1, True)


def test_plan_says_who_is_locked_or_away_and_offline_that_it_does_not_know(
    service: Service, tmp_path: Path
) -> None:
    grants = [
        MORE.replace("more", f"more-{name}").replace("api:eve", f"api:{name}")
        for name in ("away", "free", "locked")
    ]
    text = (service.scratch / "policy.toml").read_text()
    locked = {"identity": "api:locked", "reason": "left the company"}
    lock = service.http("POST", "/v1/locks", locked, as_="carol").json["lock"]
    ends = format_rfc3339(int(time.time()) + 86_400)
    leave = {"person": "api:away", "starts": "2026-01-01T00:00:00Z", "ends": ends}
    longer = leave | {"ends": format_rfc3339(int(time.time()) + 2 * 86_400)}
    service.order("leave", "cancel", book(service, longer))
    book(service, leave)
    body = {"files": [{"name": "policy.toml", "text": text + "".join(grants)}]}
    service.settled("/v1/leave", "carol")
    planned = service.http("POST", "/v1/policy/plan", body, as_="carol").json
    found = {each["who"]: (each.get("locked"), each.get("away_until")) for each in planned["changes"]}
    PolicyPlanned.model_validate(planned)
    assert found == {
        "api:away": (None, ends),
        "api:free": (None, None),
        "api:locked": (lock, None),
    }
    (tmp_path / "policy.toml").write_text(text + "".join(grants))
    shown = service.cli("policy", "plan", tmp_path / "policy.toml")
    assert f"from {ends}, when leave ends" in shown.stdout
    assert f"once the lock of entry {lock} is lifted" in shown.stdout
    assert "offline" not in shown.stderr
    shown = service.cli(
        "policy", "plan", tmp_path / "policy.toml", "--against", service.scratch / "policy.toml"
    )
    assert "offline nothing is known of locks and leave" in shown.stderr
    assert "lifted" not in shown.stdout


def book(service: Service, leave: dict[str, str]) -> int:
    booked: int = service.http("POST", "/v1/leave", leave, as_="carol").json["leave"]
    return booked


def test_settings_that_change_are_told_and_counted_before_anyone_signs(
    service: Service, tmp_path: Path
) -> None:
    text = (service.scratch / "policy.toml").read_text()
    (tmp_path / "policy.toml").write_text(text.replace('{ role = "db" }', '{ role = "app" }') + MORE)
    planned = service.cli("policy", "plan", tmp_path / "policy.toml")
    assert "host group db: hosts with role=db -> hosts with role=app" in planned.stderr
    signed = ("policy", "apply", tmp_path / "policy.toml", "--sign-only", tmp_path / "order")
    said = service.order(*signed).stderr
    assert "access that changes: 1 gains; also hosts of 1 host groups, 1 settings; `policy plan`" in said


def test_plan_is_for_admins_and_of_policies_only(service: Service) -> None:
    wrong = {"files": [{"name": "policy.toml", "text": "version = 2"}]}
    assert service.http("POST", "/v1/policy/plan", wrong, as_="dave").slug == "policy-denied"
    reply = service.http("POST", "/v1/policy/plan", wrong, as_="carol")
    assert (reply.slug, reply.json["field"]) == ("malformed-request", "files")


def test_command_plans_against_the_policy_in_force_and_against_files(
    service: Service, tmp_path: Path
) -> None:
    before = service.scratch / "policy.toml"
    after = tmp_path / "policy.toml"
    after.write_text(before.read_text() + MORE)
    assert "gains" in service.cli("policy", "plan", str(after)).stdout
    planned = json.loads(service.cli("policy", "plan", str(before), "--against", str(after), "--json").stdout)
    assert [each["kind"] for each in planned["changes"]] == ["loses"]
