"""Answers to requests for approval: who may give one, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.authority.approving.answers import AnswerBody, find_approvers
from appliance.authority.fold.approvals import Requested
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.requirements import Requirements
from appliance.policy.tables import Grant, Group, Person, Who


def grant(name: str, **require: Any) -> Grant:
    fields: dict[str, Any] = {"name": name, "who": Who(users=("mtls:alice",)), "on": ["web"], "as": ["root"]}
    return Grant(**fields, require=Requirements(**require))


def policy(*grants: Grant) -> Policy:
    persons = {name: Person(name=name, identities=(f"mtls:{name}",)) for name in ("alice", "bob", "eve")}
    groups = {name: Group(name=name, members=(f"mtls:{name}",)) for name in persons}
    filed = tuple(FiledGrant(file="policy.toml", grant=each) for each in grants)
    return Policy(persons=persons, groups=groups, grants=filed)


ASKED = Requested(seq=10, identity="mtls:alice", grant="prod", answer_by_s=100, ttl_s=60)


def test_approvers_are_those_of_the_grant_that_was_asked_for_and_of_no_other() -> None:
    made = policy(
        grant("prod", approvals=1, approvers=("bob",)), grant("test", approvals=1, approvers=("eve",))
    )
    assert find_approvers(made, ASKED) == {"bob"}


def test_grant_that_asks_for_no_approval_any_more_has_no_approvers() -> None:
    assert find_approvers(policy(grant("prod")), ASKED) == frozenset()


@pytest.mark.parametrize("reason", [None, "too late at night"])
def test_reason_of_an_answer_is_recorded_if_there_is_one(reason: str | None) -> None:
    body = AnswerBody(decision="refused", person="bob", expires_s=60, signature="AAAA", reason=reason)
    data = body.to_data(10)
    assert data.get("reason") == reason
    assert ("reason" in data) == (reason is not None)
