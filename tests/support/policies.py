"""Pairs of policies, one made of the other by a few changes, and what they decide: to hold plans to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from appliance.identity.identity import Identity
from appliance.policy.circumstances import Approval, Away, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Denial, Host, Profile, evaluate_user
from appliance.policy.schedules import Calendar, Schedule
from appliance.policy.tables import Customer, Grant, Group, HostGroup, Person, Who
from appliance.requests import UserRequest
from support.ssh_examples import public_key

NOW_S: Final = 1_764_000_000  # a Monday, 16:00 in UTC
HOUR_S: Final = 3_600
MAX_TTL_S: Final = 31 * 86_400
KEY: Final = public_key("ed25519", 1)
HOST_GROUPS: Final = ("web", "db")
LOGINS: Final = ("root", "app")
GROUPS: Final = ("staff", "crew", "oidc:ops", "oidc:dev")
HOSTS: Final = {
    f"{role}-{customer}": Host(
        name=f"{role}-{customer}", customer=customer, names=(role,), labels=(("role", role),), seq=1
    )
    for role in HOST_GROUPS
    for customer in ("acme", "beta")
}
# Over a week, hour by hour in all; at the turn of the year; and when a calendar is over.
MOMENTS: Final = (
    *(NOW_S + hours * HOUR_S for hours in range(0, 168, 11)),
    NOW_S + 40 * 86_400,
    NOW_S + 800 * 86_400,
)


def some(values: tuple[str, ...], *, least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=2, unique=True).map(tuple)


def _schedule(name: str, timezone: str, window: str, holidays: str | None = None) -> Schedule:
    return Schedule(name=name, timezone=timezone, windows=(window,), holidays=holidays)  # type: ignore[arg-type]


_WINDOWS: Final = ("mon-fri 08:00-16:30", "mon,tue 15:30-06:00", "mon-sun 00:00-24:00")
schedules = st.fixed_dictionaries(
    {
        "office": st.builds(_schedule, st.just("office"), st.just("UTC"), st.sampled_from(_WINDOWS)),
        "free": st.builds(
            _schedule,
            st.just("free"),
            st.sampled_from(["UTC", "Pacific/Auckland"]),
            st.just(_WINDOWS[2]),
            st.just("DE"),
        ),
    }
)
calendars = st.builds(
    Calendar,
    name=st.just("DE"),
    first_year=st.just(2024),
    last_year=st.sampled_from([2024, 2025, 2026, 2030]),
    dates=st.sets(st.sampled_from([date(2025, 11, 24), date(2025, 11, 26), date(2028, 2, 2)])).map(frozenset),
)
whos = st.builds(
    Who,
    users=some(("oidc:ada", "oidc:bob"), least=0),
    services=some(("oidc:ada", "oidc:ci"), least=0),
    groups=some(GROUPS, least=0),
).filter(lambda who: bool(who.users or who.services or who.groups))
fields: Final[dict[str, st.SearchStrategy[Any]]] = {
    "who": whos,
    "on": some(HOST_GROUPS),
    "as": some(LOGINS),
    "ttl": st.sampled_from(["1h", "8h"]),
    "source": st.none() | st.sampled_from([["10.0.0.0/8"], ["10.1.0.0/16"]]),
    "force_command": st.none() | st.just("true"),
    "permit": some(("pty", "user-rc"), least=0),
    "when": st.none() | st.sampled_from(["office", "free"]),
    "from": st.none() | st.sampled_from(["2025-11-24", "2025-11-25"]),
    "until": st.none() | st.just("2025-11-26"),
    "require": st.none()
    | st.sampled_from([{"reason": True}, {"mfa": True}, {"approvals": 1, "approvers": ("owners",)}]),
    "delegates": some(("oidc:portal",), least=0),
    "break_glass": st.booleans(),
}
grants = st.fixed_dictionaries(
    {name: st.none() | each if name not in {"who", "on", "as"} else each for name, each in fields.items()}
)


def build_grant(name: str, drawn: dict[str, Any]) -> FiledGrant:
    said = {key: value for key, value in drawn.items() if value is not None}
    return FiledGrant(file="policy.toml", grant=Grant(name=name, **said))


customers = st.sampled_from(["acme", "acme", "beta"])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Draw all tables of a policy but its grants; each can be drawn anew."""
    persons = draw(
        st.sampled_from([{}, {"ada": ("oidc:ada", "oidc:olga")}, {"olga": ("oidc:olga", "oidc:bob")}])
    )
    return {
        "customers": {
            "acme": Customer(
                name="acme", user_ca=draw(st.sampled_from(["users", "users", "new"])), host_ca="h"
            ),
            "beta": Customer(name="beta", user_ca="beta-users", host_ca="beta-hosts"),
        },
        "host_groups": {
            name: HostGroup(
                name=name, customer=draw(customers), match={"role": draw(st.sampled_from(HOST_GROUPS))}
            )
            for name in HOST_GROUPS
        },
        "groups": {
            "staff": Group(name="staff", members=draw(some(("oidc:ada", "oidc:bob")))),
            "crew": Group(name="crew", members=draw(some(("oidc:bob", "oidc:ci")))),
            "owners": Group(name="owners", members=draw(some(("oidc:olga", "oidc:ada")))),
        },
        "persons": {name: Person(name=name, identities=accounts) for name, accounts in persons.items()},
        "schedules": draw(schedules),
        "calendars": {"DE": draw(calendars)},
    }


# The grants as they are written, by their names, and all else of a policy.
_Draft = tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Draw a policy and what becomes of it by one to five changes."""
    drawn = draw(st.lists(grants, min_size=1, max_size=4))
    draft: _Draft = [(f"g{number}", each) for number, each in enumerate(drawn)], draw(tables())
    before = _build(draft)
    for _ in range(draw(st.integers(1, 5))):
        draft = draw(st.sampled_from([_change_grant, _change_grant, _change_table, _reorder]))(draw, draft)
    return before, _build(draft)


_HOLDERS: Final = (
    Who(groups=("oidc:ops",)),
    Who(groups=("oidc:dev",)),
    Who(users=("oidc:bob",)),
    Who(users=("oidc:bob", "oidc:ada")),
)
_simple: Final = st.fixed_dictionaries(
    {
        "who": st.sampled_from(_HOLDERS),
        "on": st.just(HOST_GROUPS),
        "as": st.just(LOGINS),
        "ttl": st.sampled_from(["8h", "8h", "1h"]),
        "permit": st.sampled_from([(), ("pty",)]),
        "when": st.sampled_from([None, None, "office"]),
    }
)


@st.composite
def rearranged(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Draw a policy of grants that few have, and the same in another order, with one grant less or not."""
    written = [
        (f"g{number}", each) for number, each in enumerate(draw(st.lists(_simple, min_size=3, max_size=4)))
    ]
    kept = draw(st.permutations(written))[draw(st.integers(0, 1)) :]
    others = draw(tables())
    return _build((written, others)), _build((kept, others))


def _build(draft: _Draft) -> Policy:
    written, others = draft
    return Policy(grants=tuple(build_grant(name, drawn) for name, drawn in written), **others)


def _change_table(draw: st.DrawFn, draft: _Draft) -> _Draft:
    anew = draw(tables())
    name = draw(st.sampled_from(sorted(anew)))
    return draft[0], draft[1] | {name: anew[name]}


def _change_grant(draw: st.DrawFn, draft: _Draft) -> _Draft:
    place, key = draw(st.integers(0, len(draft[0]) - 1)), draw(st.sampled_from(sorted(fields)))
    name, drawn = draft[0][place]
    changed = (name, drawn | {key: draw(fields[key])})
    return [*draft[0][:place], changed, *draft[0][place + 1 :]], draft[1]


def _reorder(draw: st.DrawFn, draft: _Draft) -> _Draft:
    return draw(st.permutations(draft[0])), draft[1]


def _who(subject: str, kind: str, *groups: str) -> Identity:
    return Identity(
        provider="oidc",
        subject=subject,
        kind=kind,  # type: ignore[arg-type]
        groups=frozenset(groups),
        mfa=True,
        authenticated_ms=NOW_S * 1000,
    )


PORTAL: Final = _who("portal", "service")
IDENTITIES: Final = (
    _who("ada", "user"),
    _who("ada", "service"),
    _who("bob", "user"),
    _who("ci", "service"),
    _who("eve", "user", "oidc:ops", "oidc:dev"),
    _who("bob", "user", "oidc:dev"),
)
_APPROVED: Final = tuple(
    Approval(seq=1, grant=f"g{number}", given_by=frozenset({"oidc:olga", "olga", "ada"}), ends_s=2**40)
    for number in range(4)
)
_ASKED: Final[tuple[tuple[dict[str, Any], Circumstances], ...]] = (
    ({}, Circumstances()),
    ({"reason": "x"}, Circumstances(approvals=_APPROVED)),
    (
        {"ttl_s": 600, "permit": ("pty",)},
        Circumstances(leaves=(Away(starts_s=NOW_S + 7_000, ends_s=NOW_S + 9_000),)),
    ),
    ({"source": ("10.1.0.0/16",), "reason": "x"}, Circumstances(delegate=PORTAL)),
    ({"start_s": 3 * HOUR_S}, Circumstances()),
)


class Cell(NamedTuple):
    """Who asks for what: a login on a host group, or on a host."""

    identity: Identity
    login: str
    host_group: str | None
    host: str | None


CELLS: Final = (
    *(Cell(who, login, name, None) for who in IDENTITIES for login in LOGINS for name in HOST_GROUPS),
    *(Cell(who, "root", None, name) for who in IDENTITIES[::4] for name in HOSTS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What somebody gets, of the grants no more than whether they are an alarm; nothing if it is denied.

    ``is_ahead``: he asked for what begins later, and of two grants gets the one that ends later.
    ``is_approved``: others have approved.
    """

    now_s: int

    profiles: tuple[Profile, ...]
    alarms: tuple[bool, ...]
    is_ahead: bool
    is_approved: bool

    @property
    def ends_s(self) -> int:
        return max((each.valid_before for each in self.profiles), default=0)


def decide(policy: Policy, cell: Cell, now_s: int) -> Iterator[Decided]:
    """Yield what a policy gives, for each of some requests."""
    for asked, circumstances in _ASKED:
        ahead_s = asked.get("start_s")
        request = UserRequest(
            public_key=KEY,
            host_groups=() if cell.host_group is None else (cell.host_group,),
            hosts=() if cell.host is None else (cell.host,),
            logins=(cell.login,),
            **(asked if ahead_s is None else {"start_s": now_s + ahead_s}),
        )
        outcome = evaluate_user(
            policy, HOSTS, cell.identity, request, circumstances, now_s=now_s, max_ttl_s=MAX_TTL_S
        )
        given = () if isinstance(outcome, Denial) else outcome
        yield Decided(
            profiles=tuple(replace(each, grants=()) for each in given),
            alarms=tuple(filed.grant.break_glass for each in given for filed in each.grants),
            is_ahead=ahead_s is not None,
            is_approved=bool(circumstances.approvals),
            now_s=now_s,
        )
