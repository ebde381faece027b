"""Plans of policies that multiply out to more than can be written, or compared."""

from __future__ import annotations

import tracemalloc

import pytest

from appliance.policy.planning import access
from support.planned import POLICY, compare, lines

MEMBERS = ", ".join(f'"oidc:u{number}"' for number in range(10_000))


def grant(name: str, who: str, logins: str = '"root"') -> str:
    return f'[[grant]]\nname = "{name}"\nwho = {{ users = [{who}] }}\non = ["web"]\nas = [{logins}]\n'


def test_million_of_lines_is_counted_and_takes_no_more_memory_than_a_place() -> None:
    logins = ", ".join(f'"l{number:02}"' for number in range(100))
    tracemalloc.start()
    planned = compare(POLICY + grant("many", MEMBERS, logins))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (planned.counts["gains"], planned.left_out, planned.complete) == (1_000_000, 999_000, True)
    assert {(each.login, each.host_group) for each in planned.changes} == {("l00", "web")}
    assert [each.who for each in planned.changes] == sorted(each.who for each in planned.changes)
    assert peak < 60_000_000


def test_what_cannot_be_compared_is_left_out_by_whole_places_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = (grant(name, f'"oidc:{name}1", "oidc:{name}2", "oidc:{name}3"') for name in "ab")
    monkeypatch.setattr(access, "MAX_LOOKED_AT", 12)
    planned = compare(
        POLICY.replace('members = ["oidc:ada", "oidc:bob"]', 'members = ["oidc:ada"]')
        + b
        + a
        + grant("x", '"oidc:x"'),
        before=POLICY + a + b,
    )
    assert lines(planned) == [("loses", "oidc:bob", "postgres@db")]
    assert (planned.complete, planned.not_compared) == (False, ("web",))
    assert planned.to_data()["not_compared"] == ["web"]


def test_people_of_too_many_different_grants_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    grants = "".join(grant(f"g{number}", '"oidc:x"') for number in range(100))
    monkeypatch.setattr(access, "MAX_LOOKED_AT", 1_000)
    assert compare(POLICY + grants).not_compared == ("web",)
