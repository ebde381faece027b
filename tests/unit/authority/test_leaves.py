"""Leaves in the state: whose they are by the policy in force, how they join, and when they are forgotten."""

from __future__ import annotations

from typing import Any

from appliance.authority.fold.leaves import Leaves, merge, read_leave
from appliance.policy.circumstances import Away
from appliance.policy.document import Policy
from appliance.policy.tables import Person
from appliance.policy.terms import BACKDATE_S

DAY = 86_400
ADA = Policy(persons={"ada": Person(name="ada", identities=("oidc:ada", "ldap:ada"))})


def booking(starts_s: int, ends_s: int, person: str = "ada", **more: Any) -> dict[str, Any]:
    identities = ["ldap:ada", "oidc:ada"] if person == "ada" else [person]
    return {"person": person, "identities": identities, "starts_s": starts_s, "ends_s": ends_s, **more}


def leaves(*bookings: dict[str, Any]) -> Leaves:
    made = Leaves()
    for seq, data in enumerate(bookings, 10):
        made.book(seq, data)
    return made


def test_leave_of_a_person_is_that_of_each_of_his_accounts_and_of_nobody_else() -> None:
    made = leaves(booking(0, DAY))
    assert made.of(ADA, "oidc:ada") == made.of(ADA, "ldap:ada") == (Away(starts_s=0, ends_s=DAY),)
    assert made.of(ADA, "oidc:bob") == ()


def test_leave_of_an_account_is_that_of_the_person_whom_a_later_policy_gives_it() -> None:
    made = leaves(booking(0, DAY, "oidc:ada"))
    assert made.of(Policy(), "ldap:ada") == ()
    assert made.of(ADA, "ldap:ada") == (Away(starts_s=0, ends_s=DAY),)


def test_account_that_moves_to_another_person_leaves_the_leave_behind() -> None:
    moved = Policy(
        persons={
            "ada": Person(name="ada", identities=("oidc:ada",)),
            "bob": Person(name="bob", identities=("ldap:ada",)),
        }
    )
    made = leaves(booking(0, DAY))
    assert made.of(moved, "oidc:ada") != ()
    assert made.of(moved, "ldap:ada") == ()


def test_leave_of_a_person_who_was_renamed_goes_on() -> None:
    renamed = Policy(persons={"al": Person(name="al", identities=("oidc:ada", "ldap:ada", "mtls:ada"))})
    made = leaves(booking(0, DAY))
    assert made.of(renamed, "oidc:ada") == (Away(starts_s=0, ends_s=DAY),)
    assert made.of(Policy(), "oidc:ada") == (Away(starts_s=0, ends_s=DAY),)


def test_leaves_that_overlap_or_touch_are_one() -> None:
    spans = [(5, 9), (0, 3), (3, 5), (20, 30), (22, 25)]
    joined = merge(read_leave(seq, booking(*span)) for seq, span in enumerate(spans))
    assert joined == (Away(starts_s=0, ends_s=9), Away(starts_s=20, ends_s=30))


def test_leave_is_forgotten_when_no_certificate_can_be_dated_back_into_it() -> None:
    made = leaves(booking(0, DAY), booking(0, 2 * DAY))
    made.forget(DAY + BACKDATE_S - 1)
    assert len(list(made)) == 2
    made.forget(DAY + BACKDATE_S)
    assert [each.seq for each in made] == [11]
    made.forget(2 * DAY + BACKDATE_S)
    assert list(made) == []
    assert made.of(ADA, "oidc:ada") == ()


def test_cancelled_leave_is_gone_and_a_shortened_one_ends_when_it_was_ordered_to() -> None:
    made = leaves(booking(0, DAY), booking(2 * DAY, 4 * DAY))
    made.cancel(10, None)
    made.cancel(11, 3 * DAY)
    assert made.of(ADA, "oidc:ada") == (Away(starts_s=2 * DAY, ends_s=3 * DAY),)
    made.forget(3 * DAY + BACKDATE_S)
    assert list(made) == []
    made.forget(4 * DAY + BACKDATE_S)


def test_withdrawn_leave_holds_until_it_is_cancelled_and_is_new_when_it_is_booked_again() -> None:
    source = {"feed": "holidays", "uid": "1"}
    made = leaves(booking(0, DAY, source=source))
    made.withdraw(10)
    held = made.get(10)
    assert held is not None
    assert held.withdrawn
    assert made.of(ADA, "oidc:ada") != ()
    assert made.find_same(held) is None
    made.book(12, booking(0, DAY, source=source))
    assert [(each.seq, each.withdrawn) for each in made] == [(12, False)]
