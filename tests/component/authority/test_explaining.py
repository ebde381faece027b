"""Explanations by the running authority say what the next request would be told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.fold.ca_keys import halt
from appliance.authority.issuing.explaining import Explainable, answer, gather_now
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.requests import UserRequest
from support.authority import NOW_MS, TestAuthority, identity, running_authority
from support.ssh_examples import public_key

ASK = UserRequest(public_key=public_key("ed25519", 2))


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []


def ask_about(authority: TestAuthority, caller: str = "alice", **asked: Any) -> Explainable | Refusal:
    return authority.writer.read(
        lambda state, _at: gather_now(state, identity(caller), ExplainBody(**asked), NOW_MS // 1000)
    )


def explain(authority: TestAuthority, **asked: Any) -> dict[str, Any]:
    found = ask_about(authority, **asked)
    assert not isinstance(found, Refusal), found
    return answer(found)


def details(explained: dict[str, Any]) -> set[str]:
    return {obstacle["detail"] for each in explained["grants"] for obstacle in each["obstacles"]}


@pytest.mark.parametrize("named", [{"identity": "mtls:alice"}, {"ca": "users"}])
def test_lock_is_told_in_the_words_of_the_refusal(authority: TestAuthority, named: dict[str, str]) -> None:
    assert details(explain(authority)) == set()
    authority.lock(**named)
    refusal = authority.ask(identity(), ASK)
    assert isinstance(refusal, Refusal)
    explained = explain(authority)
    assert {each["verdict"] for each in explained["grants"]} == {"refuses"}
    assert details(explained) == {refusal.detail}


def test_ca_whose_key_is_halted_gives_nothing(authority: TestAuthority) -> None:
    ca = authority.state.cas["users"]
    authority.state.cas["users"] = halt(ca, ca.keys[0].fingerprint)
    assert isinstance(authority.ask(identity(), ASK), Refusal)
    assert details(explain(authority)) == {"the CA users is halted"}


def test_auditor_who_is_locked_is_told_of_himself_only(authority: TestAuthority) -> None:
    assert not isinstance(ask_about(authority, "carol", subject="mtls:alice"), Refusal)
    authority.lock(identity="mtls:carol")
    refusal = ask_about(authority, "carol", subject="mtls:alice")
    assert isinstance(refusal, Refusal)
    assert (refusal.slug, refusal.detail[:21]) == ("policy-denied", "mtls:carol is locked,")
    assert not isinstance(ask_about(authority, "carol"), Refusal)
