"""Approvals in explanations of the past: those that were given by then, and that lasted until then."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.identity.identity import Identity
from appliance.index.explaining import explain_past
from appliance.index.projection import Projection
from appliance.index.queries import Index
from appliance.ssh.keys import format_public_key_line
from appliance.ssh.sshsig import build_sshsig
from support.histories import START_MS, History, apply_text, begin, identity, policy_text
from support.ssh_examples import private_key, public_key

MINUTE_MS = 60_000
OLGA = format_public_key_line(public_key("ed25519", 33))
REQUIRED = f"""require = {{ approvals = 1, approvers = ["owners"] }}
[[group]]
name = "owners"
members = ["mtls:olga"]
[[person]]
name = "olga"
identities = ["mtls:olga"]
keys = ["{OLGA}"]
"""


@pytest.fixture
def history() -> History:
    """Asked for, given a minute later for two minutes, and the grant gone after ten."""
    history = begin()
    who = ['{ users = ["oidc:alice"] }']
    text = policy_text('role = "web"', ["oidc:ci"], who, ["root"], bare=False, limit=REQUIRED)
    apply_text(history, text, holidays=[])
    history.now_ms += MINUTE_MS
    wish = {"identity": identity("alice"), "grant": "g0", "reason": "x", "ttl_s": 600}
    seq = history.add("approval.requested", wish | {"answer_by_s": START_MS // 1000 + 900}).seq
    history.now_ms += MINUTE_MS
    signature = build_sshsig(private_key("ed25519", 33), "approval@chancery", b"as said")
    given = {"approval": seq, "person": "olga", "expires_s": START_MS // 1000 + 240}
    history.add("approval.given", given | {"signature": base64.b64encode(signature).decode()})
    history.now_ms += 8 * MINUTE_MS
    without = policy_text('role = "web"', ["oidc:ci"], [], ["root"], bare=False)
    apply_text(history, without, holidays=[])
    history.now_ms += MINUTE_MS
    history.add("heartbeat", {})
    return history


def explain(path: Path, history: History, minute: int, caller: str = "carol") -> dict[str, Any]:
    projection = Projection.open(path / "index.db")
    projection.apply(history.entries[projection.size :])
    projection.close()
    who = Identity(provider="oidc", subject=caller, kind="user", authenticated_ms=0)
    body = ExplainBody(subject="oidc:alice", host_group="web", login="root", at="2025-11-24T16:00:00Z")
    with Index(path / "index.db").snapshot() as snapshot:
        return explain_past(snapshot, who, body, START_MS + minute * MINUTE_MS)


@pytest.mark.parametrize(
    ("minute", "verdict"), [(0, "refuses"), (1, "refuses"), (2, "gives"), (3, "gives"), (4, "refuses")]
)
def test_approval_counts_from_when_it_was_given_until_it_ended(
    tmp_path: Path, history: History, minute: int, verdict: str
) -> None:
    (grant,) = explain(tmp_path, history, minute)["grants"]
    assert grant["verdict"] == verdict
    assert [each["rule"] for each in grant["obstacles"]] == [] or verdict == "refuses"


def test_policy_of_the_moment_says_who_gets_what_and_the_one_in_force_who_may_ask(
    tmp_path: Path, history: History
) -> None:
    assert explain(tmp_path, history, 10)["grants"] == []
    with pytest.raises(Refusal, match="no policy was in force"):
        explain(tmp_path, history, -1)
    with pytest.raises(Refusal, match="has not the role auditor"):
        explain(tmp_path, history, 2, caller="bob")
    assert explain(tmp_path, history, 2, caller="alice")["settled"]
