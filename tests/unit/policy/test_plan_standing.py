"""Plans and what bars people meanwhile: locks and leave, by the policy that would be in force."""

from __future__ import annotations

from appliance.authority.fold.leaves import Leaves
from appliance.policy.locks import Lock, LockKind, Locks, Target
from appliance.policy.planning.standing import Standing
from support.planned import NOW_S, POLICY, compare

DAY_S = 86_400
PERSON = '[[person]]\nname = "ada"\nidentities = ["oidc:ada", "ldap:ada"]\n'
MORE_LOGINS = POLICY.replace('as = ["postgres"]', 'as = ["postgres", "app"]').replace(
    'as = ["root"]', 'as = ["root", "app"]'
)


def standing(
    *locks: tuple[LockKind, str],
    leaves: dict[str, tuple[int, int]] | None = None,
    accounts: tuple[str, ...] = (),
) -> Standing:
    """Return what stands: locks are entries from 30 on, leaves from 40 on, by days from now."""
    placed, booked = Locks(), Leaves()
    for seq, (kind, name) in enumerate(locks, 30):
        placed.place(Lock(seq=seq, target=Target(kind, name), accounts=accounts))
    for seq, (person, (starts, ends)) in enumerate((leaves or {}).items(), 40):
        starts_s, ends_s = NOW_S + starts * DAY_S, NOW_S + ends * DAY_S
        booked.book(seq, {"person": person, "identities": [person], "starts_s": starts_s, "ends_s": ends_s})
    return Standing(now_s=NOW_S, locks=placed, leaves=booked)


def barred(found: Standing, after: str = MORE_LOGINS) -> dict[str, tuple[int | None, int | None]]:
    changes = compare(after, standing=found).changes
    return {each.who: (each.locked, each.away_until) for each in changes if each.login == "app"}


def test_nobody_is_barred_where_nothing_stands() -> None:
    assert set(barred(standing()).values()) == {(None, None)}


def test_locks_on_accounts_groups_and_the_ca_are_named() -> None:
    assert barred(standing(("identity", "oidc:bob"), ("group", "oidc:ops"))) == {
        "oidc:ada": (None, None),
        "oidc:bob": (30, None),
        "oidc:eve": (None, None),
        "group oidc:ops": (31, None),
    }
    assert barred(standing(("group", "dba")))["oidc:ada"] == (30, None)
    assert set(barred(standing(("ca", "users"))).values()) == {(30, None)}


def test_whoever_is_away_is_told_until_when_and_leave_to_come_bars_nobody() -> None:
    found = barred(standing(leaves={"oidc:ada": (-1, 2), "oidc:bob": (3, 4)}))
    assert found["oidc:ada"] == (None, NOW_S + 2 * DAY_S)
    assert found["oidc:bob"] == (None, None)


def test_it_is_the_new_policy_that_says_who_is_barred() -> None:
    found = standing(("person", "ada"), leaves={"ldap:ada": (-1, 2)})
    assert barred(found)["oidc:ada"] == (None, None)
    assert barred(found, MORE_LOGINS + PERSON)["oidc:ada"] == (30, NOW_S + 2 * DAY_S)


def test_account_whose_lock_or_leave_the_policy_ends_or_starts_has_a_line() -> None:
    found = standing(("group", "dba"), leaves={"ldap:ada": (-1, 2)})
    planned = compare(POLICY.replace('["oidc:ada", "oidc:bob"]', '["oidc:ada"]') + PERSON, standing=found)
    assert planned.standing is not None
    assert [(each.who, each.before, each.after) for each in planned.standing] == [
        ("oidc:ada", ("locked by entry 30",), ("locked by entry 30", "on leave until 2025-11-26T16:00:00Z")),
        ("oidc:bob", ("locked by entry 30",), ()),
    ]


def test_leave_to_come_is_said_with_its_start_when_the_policy_takes_it_from_an_account() -> None:
    found = standing(leaves={"ldap:ada": (1, 2)})
    planned = compare(POLICY, before=POLICY + PERSON, standing=found)
    assert planned.standing is not None
    (change,) = planned.standing
    assert (change.who, change.after) == ("oidc:ada", ())
    assert change.before == ("on leave from 2025-11-25T16:00:00Z until 2025-11-26T16:00:00Z",)


def test_account_that_a_locked_person_had_stays_locked_without_a_line() -> None:
    found = standing(("person", "ada"), accounts=("oidc:ada", "ldap:ada"))
    assert compare(POLICY, before=POLICY + PERSON, standing=found).standing == ()


def test_offline_nothing_is_known_of_what_stands() -> None:
    assert compare(MORE_LOGINS).to_data()["standing"] is None
    data = compare(MORE_LOGINS, standing=standing(leaves={"oidc:ada": (-1, 2)})).to_data()
    assert data["standing"] == []
    (ada, bob, *_) = data["changes"]
    assert (ada["away_until"], "locked" in ada) == ("2025-11-26T16:00:00Z", False)
    assert "away_until" not in bob
